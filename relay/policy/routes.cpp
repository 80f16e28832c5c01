// Finds the first route that fits a recipient, its sender and the user who submitted.
//
// Promise: routes are tried in the order of the configuration and nothing but the first match
// counts.
#include "relay/policy/routes.hpp"

#include <algorithm>

namespace postern::policy {
namespace {

bool covers_sender(const Route& route, const smtp::ReversePath& sender) {
  if (route.senders.empty()) return true;
  if (sender.mailbox) return any_matches(route.senders, *sender.mailbox);
  return std::ranges::any_of(route.senders,
                             [](const AddressPattern& pattern) { return pattern.text() == "*"; });
}

bool covers_user(const Route& route, std::string_view user) {
  if (route.users.empty()) return true;
  return std::ranges::any_of(route.users,
                             [&](const std::string& name) { return name == "*" || name == user; });
}

}  // namespace

const std::vector<std::string>* find_upstreams(const std::vector<Route>& routes,
                                               const smtp::Mailbox& recipient,
                                               const smtp::ReversePath& sender,
                                               std::string_view user) {
  for (const Route& route : routes) {
    if (!route.recipients.empty() && !any_matches(route.recipients, recipient)) continue;
    if (covers_sender(route, sender) && covers_user(route, user)) return &route.upstreams;
  }
  return nullptr;
}

}  // namespace postern::policy
