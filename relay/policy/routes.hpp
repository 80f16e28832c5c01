// Which upstreams a recipient's mail goes to: the first route that matches, resolved at every
// attempt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/policy/patterns.hpp"
#include "relay/smtp/address.hpp"

namespace postern::policy {

struct Route {
  std::vector<AddressPattern> recipients;  // empty: all
  std::vector<AddressPattern>
      senders;  // empty: all; the null reverse-path matches only an empty list or "*"
  std::vector<std::string> users;      // empty or "*": all; our own reports have the user name ""
  std::vector<std::string> upstreams;  // names, in order; never empty
};

// The matching route's upstreams, or null when none matches (the recipient then waits with that
// reason).
[[nodiscard]] const std::vector<std::string>* find_upstreams(const std::vector<Route>& routes,
                                                             const smtp::Mailbox& recipient,
                                                             const smtp::ReversePath& sender,
                                                             std::string_view user);

}  // namespace postern::policy
