// What delivery needs of the configuration: one immutable snapshot (see submission_policy.hpp for
// why shared).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/sealed_body.hpp"
#include "crypto/tls.hpp"
#include "relay/base/log.hpp"
#include "relay/base/secret.hpp"
#include "relay/policy/routes.hpp"
#include "relay/policy/signing_keys.hpp"
#include "relay/queue/retry.hpp"
#include "relay/smtp/address.hpp"
#include "relay/smtp/delivery_session.hpp"
#include "storage/storage_thread.hpp"

namespace postern::delivery {

struct UpstreamSettings {
  std::string name;
  std::string host;
  std::uint16_t port = 587;
  smtp::DeliveryTls tls = smtp::DeliveryTls::starttls;
  std::shared_ptr<const crypto::TlsClientContext> tls_context;
  std::string user_name;  // empty: no authentication
  Secret password;
  std::size_t connections_max = 4;
  std::optional<std::uint64_t> messages_per_minute_max;
};

struct DeliverySnapshot {
  std::string hostname;
  smtp::Mailbox postmaster;
  queue::RetrySettings retry;
  std::vector<policy::Route> routes;
  std::vector<std::shared_ptr<const UpstreamSettings>> upstreams;
  std::map<std::string, smtp::Mailbox, std::less<>> owners;  // by user: the person told of failures
  policy::SigningKeys dkim_keys;
};
using SettingsSnapshot = std::shared_ptr<const DeliverySnapshot>;

// Owned by the service, alive longer than the engine; usable from any thread.
struct DeliveryServices {
  storage::StorageThread& storage;
  const crypto::QueueKey& queue_key;
  Logger& log;
};

// Why no transaction could be had; always a delay, never a failure (see relay/queue/outcome.hpp).
struct Trouble {
  std::string status;  // enhanced status code, "4.4.1"
  std::string reason;  // one sentence, shown by `postern queue show`
  bool tried = true;   // false: our own reload or shutdown came between, which is no attempt
};

}  // namespace postern::delivery
