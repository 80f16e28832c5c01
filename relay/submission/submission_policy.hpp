// What submission needs of the configuration: one immutable snapshot, and the services it works
// with.
//
// Promise: a snapshot never changes; a reload makes a new one, and a connection keeps the one it
// began with, so that no transaction sees half of each; a connection whose user has changed begins
// no further transaction. That is why it is shared: its owners are
// the connections of several threads, and the last one to end frees it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/sealed_body.hpp"
#include "crypto/tls.hpp"
#include "relay/base/log.hpp"
#include "relay/policy/signing_keys.hpp"
#include "relay/policy/user.hpp"
#include "relay/smtp/address.hpp"
#include "storage/storage_thread.hpp"

namespace postern::submission {

struct SubmissionPolicy {
  std::string hostname;
  bool received_shows_user = true;
  std::uint64_t message_bytes_max = 52'428'800;
  std::size_t recipients_max = 100;
  std::size_t connections_max = 500;
  std::size_t connections_per_address_max = 20;
  std::uint32_t auth_failures_max = 5;
  std::uint64_t queue_bytes_max = 1'073'741'824;
  Duration idle_timeout = std::chrono::minutes(5);
  // No device needs longer for what it has to send; without an end, idle_timeout could be met for
  // ever by a NOOP now and then.
  Duration session_timeout = std::chrono::hours(2);
  // From the accepted connection to a good AUTH; nothing the client says pushes it back. As long as
  // RFC 5321 §4.5.3.2.7 gives it for one command.
  Duration authentication_timeout = std::chrono::minutes(5);
  // How long an accepted connection waits for the gatekeeper, whose answer may be lost under load.
  Duration admission_timeout = std::chrono::seconds(10);
  // A peer that does not speak TLS must not hold a place for long before it has said who it is.
  Duration tls_handshake_timeout = std::chrono::seconds(30);
  std::shared_ptr<const crypto::TlsServerContext> tls;
  policy::UserDirectory users;
  policy::SigningKeys dkim_keys;
};
using PolicySnapshot = std::shared_ptr<const SubmissionPolicy>;

// Owned by the service, alive longer than any worker. Everything here may be used from any thread.
struct SubmissionServices {
  storage::StorageThread& storage;
  const crypto::QueueKey& queue_key;
  Logger& log;
  std::function<void(storage::MessageSummary)> message_queued;  // tells delivery; after the commit
};

}  // namespace postern::submission
