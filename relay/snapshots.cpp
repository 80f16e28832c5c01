// Copying what each driver needs out of a configuration.
#include "relay/snapshots.hpp"

#include <utility>

namespace postern {

submission::PolicySnapshot submission_snapshot(const config::Configuration& configuration) {
  auto policy = std::make_shared<submission::SubmissionPolicy>();
  policy->hostname = configuration.hostname;
  policy->received_shows_user = configuration.received_shows_user;
  policy->message_bytes_max = configuration.limits.message_bytes_max;
  policy->recipients_max = configuration.limits.recipients_max;
  policy->connections_max = configuration.limits.connections_max;
  policy->connections_per_address_max = configuration.limits.connections_per_address_max;
  policy->auth_failures_max = configuration.limits.auth_failures_max;
  policy->queue_bytes_max = configuration.limits.queue_bytes_max;
  policy->idle_timeout = configuration.limits.idle_timeout;
  policy->tls = configuration.tls;
  policy->users = configuration.users;
  policy->dkim_keys = configuration.dkim_keys;
  return policy;
}

delivery::SettingsSnapshot delivery_snapshot(const config::Configuration& configuration) {
  auto settings = std::make_shared<delivery::DeliverySnapshot>();
  settings->hostname = configuration.hostname;
  settings->postmaster = configuration.postmaster;
  settings->retry = configuration.retry;
  settings->routes = configuration.routes;
  settings->dkim_keys = configuration.dkim_keys;
  for (const auto& [name, user] : configuration.users) {
    if (user.owner) settings->owners.emplace(name, *user.owner);
  }
  for (const auto& upstream : configuration.upstreams) {
    auto copy = std::make_shared<delivery::UpstreamSettings>();
    copy->name = upstream.name;
    copy->host = upstream.host;
    copy->port = upstream.port;
    copy->tls = upstream.tls;
    copy->tls_context = upstream.tls_context;
    copy->user_name = upstream.user_name;
    copy->password = upstream.password.clone();
    copy->connections_max = upstream.connections_max;
    copy->messages_per_minute_max = upstream.messages_per_minute_max;
    settings->upstreams.push_back(std::move(copy));
  }
  return settings;
}

}  // namespace postern
