// Host names to addresses, through c-ares on a loop.
//
// Promise: A and AAAA both asked; literals and the hosts file are honoured; no search domain is
// ever appended (the next hop must not change with a DHCP lease); answers bounded by addresses_max,
// order kept. Every error says which name, which resolver trouble, and whether a retry makes sense
// (kind not_found: the name does not exist; invalid: it is no name; busy: temporary). A changed
// /etc/resolv.conf is noticed between questions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "relay/base/callback.hpp"
#include "relay/base/error.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

inline constexpr std::size_t resolver_questions_max =
    1'024;  // waiting at once; more are answered "busy"
inline constexpr std::size_t addresses_max =
    16;  // more than any real name has; bounds a hostile answer

class Resolver {
 public:
  // `servers` ("127.0.0.1:53,[::1]:53") instead of those in /etc/resolv.conf.
  [[nodiscard]] static Result<std::unique_ptr<Resolver>> create(Loop& loop,
                                                                std::string servers = {});
  ~Resolver();
  // `done` runs on the loop, once, unless the Resolver is destroyed first.
  void resolve(const std::string& host, std::uint16_t port,
               Callback<Result<std::vector<SocketAddress>>> done);

 private:
  Resolver();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::net
