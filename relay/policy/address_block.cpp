// Address blocks (CIDR, RFC 4632 §3.1, RFC 4291 §2.3): which IP addresses a line of the
// configuration means.
//
// Promise: host bits that are set are an error which names the block that was probably meant,
// because "192.168.10.7/24" is sometimes one machine and sometimes its whole network.
#include <string>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/policy/patterns.hpp"

namespace postern::policy {
namespace {

constexpr int ipv4_bits = 32;
constexpr int ipv6_bits = 128;
// The longest block is a full IPv6 address with "/128"; anything longer is not worth quoting whole.
constexpr std::size_t block_bytes_max = 64;

std::unexpected<Error> refuse(std::string_view text, std::string detail) {
  std::string shown(text.substr(0, block_bytes_max));
  if (text.size() > block_bytes_max) shown += "...";
  return fail(ErrorKind::invalid, "address block \"" + shown + "\"", std::move(detail));
}

// The bits of octet `index` that belong to a prefix of `bits` bits.
std::uint8_t mask_of(std::size_t index, int bits) {
  const int here = bits - static_cast<int>(index) * 8;
  if (here >= 8) return 0xFF;
  if (here <= 0) return 0;
  return static_cast<std::uint8_t>(0xFF00U >> static_cast<unsigned>(here));
}

IpAddress network_of(IpAddress address, int bits) {
  for (std::size_t i = 0; i < address.octets.size(); ++i) {
    address.octets[i] = static_cast<std::uint8_t>(address.octets[i] & mask_of(i, bits));
  }
  return address;
}

}  // namespace

Result<AddressBlock> AddressBlock::parse(std::string_view text) {
  if (text.size() > block_bytes_max) return refuse(text, "is too long for an address block");
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) {
    return refuse(text,
                  "is no IP address or block; write \"192.168.10.0/24\", \"2001:db8::/32\" or one "
                  "address without a \"/\"");
  }
  AddressBlock block;
  block.text_ = text;
  block.network_ = *address;
  const int bits_max = address->is_ipv6 ? ipv6_bits : ipv4_bits;
  block.prefix_bits_ = bits_max;
  if (slash == std::string_view::npos) return block;

  const std::string_view digits = text.substr(slash + 1);
  const auto bits = parse_decimal<int>(digits);
  // "024" would be octal to some and 24 to others.
  if (!bits || *bits > bits_max || (digits.size() > 1 && digits[0] == '0')) {
    return refuse(text, "the number after the \"/\" must be 0 to " + std::to_string(bits_max) +
                            " without leading zeros");
  }
  block.prefix_bits_ = *bits;
  const IpAddress network = network_of(*address, *bits);
  if (network != *address) {
    return refuse(text, "has bits set beyond the first " + std::to_string(*bits) + "; write \"" +
                            network.text() + "/" + std::to_string(*bits) +
                            "\" for the network or \"" + address->text() +
                            "\" for the one address");
  }
  return block;
}

bool AddressBlock::contains(const IpAddress& address) const {
  return address.is_ipv6 == network_.is_ipv6 && network_of(address, prefix_bits_) == network_;
}

}  // namespace postern::policy
