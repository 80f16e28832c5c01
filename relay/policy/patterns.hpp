// What the configuration may say where it names addresses: address patterns and address blocks.
//
//   "scan@office.example"   exactly that mailbox
//   "*@office.example"      any mailbox of that domain
//   "*@*.office.example"    any mailbox of any subdomain
//   "*"                     every mailbox
//   "192.168.10.0/24", "2001:db8::/32", "192.168.10.7"     address blocks
//
// Promise: parsed once, ASCII case ignored (a device that shouts its address is the same device); a
// '*' anywhere else is an error and never a surprise. Host bits set in a block are an error, told
// with the block that was probably meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/smtp/address.hpp"

namespace postern::policy {

class AddressPattern {
 public:
  [[nodiscard]] static Result<AddressPattern> parse(std::string_view text);
  [[nodiscard]] bool matches(const smtp::Mailbox& mailbox) const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  enum class Kind { everything, domain, subdomains, mailbox };
  Kind kind_ = Kind::mailbox;
  smtp::Mailbox mailbox_;  // the domain part alone for domain and subdomains
  std::string text_;
};

[[nodiscard]] bool any_matches(const std::vector<AddressPattern>& patterns,
                               const smtp::Mailbox& mailbox);

class AddressBlock {
 public:
  [[nodiscard]] static Result<AddressBlock> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  IpAddress network_;
  int prefix_bits_ = 0;
  std::string text_;
};

}  // namespace postern::policy
