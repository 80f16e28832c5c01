// The sections of the configuration, each read in a file of its own, and what they share while
// loading.
//
// Promise: a section's function reads its keys, checks them alone, fills its part of the
// Configuration and calls finish() on its tables. What joins sections (a route's upstreams, its
// users) is checked by the section that names the other, which runs later; loader.cpp keeps the
// order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "relay/config/configuration.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/problems.hpp"
#include "relay/config/toml_reader.hpp"

namespace postern::config {

struct LoadContext {
  FileSource& files;
  Problems& problems;
  Configuration& into;
  std::string directory;                                  // of the main file
  std::map<std::string, Place, std::less<>> user_places;  // also of users with other problems
  std::map<std::string, Place, std::less<>>
      upstream_places;         // so that routes do not complain twice
  bool users_complete = true;  // false: a file of users could not be read
  Problems warnings = {};      // told when there is no problem
};

void read_server(TableReader& root, LoadContext& context);     // [server]
void read_listeners(TableReader& root, LoadContext& context);  // [[listener]]
void read_tls(TableReader& root, LoadContext& context);        // [tls]
void read_limits(TableReader& root, LoadContext& context);     // [limits]
void read_queue(TableReader& root, LoadContext& context);      // [queue]
void read_users(TableReader& root, LoadContext& context);      // [[user]]
void read_dkim_keys(TableReader& root, LoadContext& context);  // [[dkim]]
void read_upstreams(TableReader& root, LoadContext& context);  // [[upstream]]
void read_routes(TableReader& root, LoadContext& context);     // [[route]]

// [network]; nothing for the Configuration, because the relay does not use it.
std::optional<Network> read_network(TableReader& root);

inline constexpr std::string_view state_directory_default = "/var/lib/postern";
inline constexpr std::string_view control_socket_default = "/run/postern/control";

// What [tls] means when it names no files; `postern tls generate` makes them.
inline constexpr std::string_view own_certificate_file = "tls/own.crt";
inline constexpr std::string_view own_private_key_file = "tls/own.key";

// One [[listener]]; nothing after a problem. Shared with read_whereabouts().
[[nodiscard]] std::optional<Listener> read_listener(TableReader& table);

// The file a key names, relative to `directory`; a problem at the key's place when it cannot be
// read.
[[nodiscard]] std::optional<std::string> read_named_file(LoadContext& context, std::string_view key,
                                                         const Placed<std::string>& path,
                                                         std::size_t bytes_max);
[[nodiscard]] std::optional<Secret> read_named_secret(LoadContext& context, std::string_view key,
                                                      const Placed<std::string>& path,
                                                      std::size_t bytes_max);

}  // namespace postern::config
