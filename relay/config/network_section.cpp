// [network]: the fixed address of a box made of the image.
//
// Promise: what is taken can be given to an interface: an address of a host, and a router that it
// reaches. Sharp edge: nothing here knows the wire; an address that another machine has is taken.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "relay/base/text.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

std::uint32_t number_of(const IpAddress& address) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = (number << 8) | address.octets[i];
  return number;
}

// An address that one machine can have: not "this network", loopback, multicast or reserved
// (RFC 6890 section 2.2.2, RFC 1112 section 4).
std::optional<IpAddress> host_address(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address || address->is_ipv6) return std::nullopt;
  const std::uint8_t first = address->octets[0];
  if (first == 0 || address->is_loopback() || first >= 224) return std::nullopt;
  return address;
}

std::uint32_t mask_of(const Network& network) { return ~0U << (32U - network.prefix_bits); }

// Neither the name of its network nor its broadcast address (RFC 1122 section 3.2.1.3).
bool is_host_of(const IpAddress& address, const Network& network) {
  const std::uint32_t host = number_of(address) & ~mask_of(network);
  return host != 0 && host != ~mask_of(network);
}

bool read_address(TableReader& table, Network& network) {
  const auto told = table.required_text("address");
  if (!told) return false;
  const std::size_t slash = std::min(told->value.find('/'), told->value.size());
  const auto address = host_address(std::string_view(told->value).substr(0, slash));
  const auto bits = slash == told->value.size()
                        ? std::nullopt
                        : parse_decimal<unsigned>(std::string_view(told->value).substr(slash + 1));
  if (address && bits && *bits >= prefix_bits_min && *bits <= prefix_bits_max) {
    network.address = *address;
    network.prefix_bits = *bits;
    if (is_host_of(*address, network)) return true;
  }
  table.problem(
      told->place,
      fmt::format("address is {}; allowed is a host's IPv4 address with the length of its "
                  "network's prefix, {} to {}: \"192.168.10.5/24\"",
                  shown(told->value), prefix_bits_min, prefix_bits_max));
  return false;
}

void read_router(TableReader& table, Network& network, bool address_is_good) {
  const auto told = table.text("router");
  if (!told) return;
  network.router = host_address(told->value);
  if (!network.router) {
    table.problem(told->place, fmt::format("router is {}; allowed is an IPv4 address such as "
                                           "\"192.168.10.1\"",
                                           shown(told->value)));
    return;
  }
  if (!address_is_good) return;
  const std::uint32_t differs = number_of(*network.router) ^ number_of(network.address);
  if (differs == 0 || (differs & mask_of(network)) != 0 || !is_host_of(*network.router, network)) {
    table.problem(told->place,
                  fmt::format("router is {}; allowed is another host's address in the network of "
                              "{}/{}, or the box could not reach it",
                              shown(told->value), network.address.text(), network.prefix_bits));
  }
}

std::vector<IpAddress> read_servers(TableReader& table, std::string_view key) {
  std::vector<IpAddress> servers;
  const auto told = table.text_list(key);
  if (!told) return servers;
  for (const auto& item : *told) {
    const auto address = host_address(item.value);
    if (address) {
      servers.push_back(*address);
    } else {
      table.problem(item.place, fmt::format("{} holds {}; allowed are IPv4 addresses such as "
                                            "\"192.168.10.1\"",
                                            key, shown(item.value)));
    }
  }
  if (told->size() > network_servers_max) {
    table.problem((*told)[network_servers_max].place,
                  fmt::format("{} holds {} addresses; allowed are at most {}", key, told->size(),
                              network_servers_max));
  }
  return servers;
}

}  // namespace

std::optional<Network> read_network(TableReader& root) {
  auto table = root.table("network");
  if (!table) return std::nullopt;
  Network network;
  const bool address_is_good = read_address(*table, network);
  read_router(*table, network, address_is_good);
  if (!table->has("name_servers"))
    table->missing("name_servers (such as [\"192.168.10.1\"]; upstreams are found by name)");
  network.name_servers = read_servers(*table, "name_servers");
  network.time_servers = read_servers(*table, "time_servers");
  table->finish();
  return network;
}

}  // namespace postern::config
