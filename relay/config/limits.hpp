// The bounds of everything a configuration may say, in one place, each with its reason.
//
// Promise: the loader checks against these and names them in its problems; nothing else in the
// folder holds a number that limits something.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "relay/base/clock.hpp"

namespace postern::config {

// --- The files themselves.
inline constexpr std::size_t configuration_bytes_max = 1 << 20;     // a thousand users are 300 KiB
inline constexpr std::size_t user_files_max = 10'000;               // bounds a directory gone wild
inline constexpr std::size_t problems_max = 500;                    // nobody reads more at once
inline constexpr std::size_t certificate_bytes_max = 256UZ * 1024;  // a chain of a few certificates
inline constexpr std::size_t private_key_bytes_max = 64UZ * 1024;   // RSA 16384 in PEM is 13 KiB
inline constexpr std::size_t roots_bytes_max = 8 << 20;  // Debian's bundle is about 220 KiB
inline constexpr std::size_t password_file_bytes_max =
    4'096;                                            // one line; RFC 4616 passwords are short
inline constexpr std::size_t text_bytes_max = 1'024;  // one text value; paths are the longest
inline constexpr std::size_t list_items_max = 1'000;  // patterns are walked one by one
// sockaddr_un has room for 108 octets with the ending NUL (unix(7)).
inline constexpr std::size_t socket_path_bytes_max = 107;

// Time enough to renew by hand; automatic renewal comes 30 days before the end.
inline constexpr Duration certificate_warning = std::chrono::days(14);

// --- How many of a kind.
inline constexpr std::size_t listeners_max = 64;
inline constexpr std::size_t users_max = 10'000;         // each has rate buckets in memory
inline constexpr std::size_t dkim_keys_max = 64;         // a matching RSA one costs 0.3 ms a mail
inline constexpr std::size_t upstreams_max = 64;         // each may hold a pool of connections
inline constexpr std::size_t routes_max = 1'000;         // walked for every recipient
inline constexpr std::size_t user_name_bytes_max = 255;  // AUTH names, RFC 4616 §2
inline constexpr std::size_t upstream_name_bytes_max = 64;  // shown in tables and logs

// --- [limits]
inline constexpr std::uint64_t message_bytes_max_min =
    64ULL * 1024;  // RFC 5321 §4.5.3.1.7: at least 64 KiB
inline constexpr std::uint64_t message_bytes_max_max =
    1ULL << 30;  // base64 of the largest scan worth mailing
inline constexpr std::uint64_t recipients_max_min = 100;     // RFC 5321 §4.5.3.1.8
inline constexpr std::uint64_t recipients_max_max = 10'000;  // an envelope is held in memory
inline constexpr std::uint64_t connections_max_max =
    10'000;  // file descriptors and at most 48 KiB each
inline constexpr std::uint64_t auth_failures_max_max = 1'000;  // more is no limit against guessing
inline constexpr Duration idle_timeout_min = std::chrono::minutes(5);  // RFC 5321 §4.5.3.2.7
inline constexpr Duration idle_timeout_max =
    std::chrono::hours(1);  // a dead device holds a connection so long
inline constexpr std::uint64_t queue_bytes_max_min = 1ULL << 20;
inline constexpr std::uint64_t queue_bytes_max_max = 1ULL << 44;  // 16 TiB

// --- [queue]
inline constexpr Duration retry_delay_smallest =
    std::chrono::seconds(1);  // less is hammering the upstream
inline constexpr Duration retry_delay_largest = std::chrono::hours(24);
inline constexpr Duration lifetime_smallest = std::chrono::seconds(1);
inline constexpr Duration lifetime_largest =
    std::chrono::hours(24 * 30);  // RFC 5321 §4.5.4.1: days, not months

// --- [network]
inline constexpr unsigned prefix_bits_min = 8;   // a former class A; wider is a slip of the pen
inline constexpr unsigned prefix_bits_max = 30;  // room for the box and a router (RFC 4632 §5.1)
inline constexpr std::size_t network_servers_max = 4;  // as many as are taken from DHCP

// --- Rates and pools.
inline constexpr std::uint64_t messages_per_minute_largest = 100'000;
inline constexpr std::uint64_t recipients_per_day_largest = 100'000'000;
inline constexpr std::uint64_t bytes_per_day_largest = 1ULL << 50;
inline constexpr std::uint64_t upstream_connections_largest =
    100;  // more looks like an attack to the upstream

}  // namespace postern::config
