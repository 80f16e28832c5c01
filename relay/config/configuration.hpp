// The whole configuration as checked values: what main hands to the parts of the house.
//
// Promise: a Configuration that exists is valid: every pattern parsed, every key read and usable,
// every name that refers to something resolved. Loading never stops at the first problem: all of
// them are told, each as file:line:column, sorted. Secrets are never part of a problem's text.
// Sharp edge: loading reads files and parses keys; not on a loop thread while clients wait.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/dkim.hpp"
#include "crypto/tls.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/secret.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/policy/routes.hpp"
#include "relay/policy/user.hpp"
#include "relay/queue/retry.hpp"
#include "relay/smtp/delivery_session.hpp"

namespace postern::config {

struct Listener {
  SocketAddress address;
  bool implicit_tls = false;
};

struct Limits {
  std::uint64_t message_bytes_max = 52'428'800;
  std::size_t recipients_max = 100;
  std::size_t connections_max = 500;
  std::size_t connections_per_address_max = 20;
  std::uint32_t auth_failures_max = 5;
  Duration idle_timeout = std::chrono::minutes(5);
  std::uint64_t queue_bytes_max = 1'073'741'824;
};

struct Upstream {
  std::string name;
  std::string host;
  std::uint16_t port = 587;
  smtp::DeliveryTls tls = smtp::DeliveryTls::starttls;
  std::shared_ptr<const crypto::TlsClientContext> tls_context;
  std::string user_name;  // empty: none
  Secret password;
  std::size_t connections_max = 4;
  std::optional<std::uint64_t> messages_per_minute_max;
};

// [network]: a fixed address, IPv4, for a box made of the image; any other machine has its own
// settings, and nothing reads this there.
struct Network {
  IpAddress address;
  unsigned prefix_bits = 0;
  std::optional<IpAddress> router;
  std::vector<IpAddress> name_servers;
  std::vector<IpAddress> time_servers;  // empty: the router is asked
};

struct Configuration {
  std::string hostname;
  std::string state_directory;  // absolute
  std::string control_socket;   // absolute
  smtp::Mailbox postmaster;
  bool received_shows_user =
      true;  // [server] received_shows_user: the user's name and address in Received
  std::vector<Listener> listeners;
  std::shared_ptr<const crypto::TlsServerContext> tls;
  Limits limits;
  queue::RetrySettings retry;
  policy::UserDirectory users;
  std::vector<std::shared_ptr<const crypto::DkimKey>> dkim_keys;
  std::vector<Upstream> upstreams;
  std::vector<policy::Route> routes;
};

// One thing that is wrong, for a person: "postern.toml:12:8: recipients_max is 0; allowed are 1 to
// 10000".
struct Problem {
  std::string file;
  std::uint32_t line = 0;  // 0: the file as a whole
  std::uint32_t column = 0;
  std::string message;
  [[nodiscard]] std::string text() const;
};

struct LoadResult {
  std::unique_ptr<Configuration> configuration;  // null when there are problems
  std::vector<Problem> problems;
  std::vector<Problem> warnings;  // of a good configuration: worth a look, no reason to refuse it
};

// Reads `path` and users.d/*.toml beside it. Relative paths in a file are relative to that file.
[[nodiscard]] LoadResult load_configuration(const std::string& path);

// Only what the operator's command needs to find its way, even when the rest is broken: state
// directory, control socket, hostname, listeners' ports. Missing pieces are empty.
struct Whereabouts {
  std::string hostname;
  std::string control_socket;
  std::string state_directory;
  std::vector<Listener> listeners;
};
[[nodiscard]] Result<Whereabouts> read_whereabouts(const std::string& path);

// Only [network], whatever is wrong elsewhere: nothing where there is none (by DHCP then).
[[nodiscard]] Result<std::optional<Network>> read_network_settings(const std::string& path);

}  // namespace postern::config
