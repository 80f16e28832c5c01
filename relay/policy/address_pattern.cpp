// Address patterns: which mailboxes a line of the configuration means.
//
// Promise: a '*' stands only where patterns.hpp shows it; everything else is an error that shows
// the four forms. Sharp edge: "*@office.example" does not cover subdomains; a configuration that
// wants both says both.
#include <algorithm>
#include <string>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/policy/patterns.hpp"

namespace postern::policy {
namespace {

// A wrong value is quoted in the error only so far; a configuration may hold anything.
constexpr std::size_t quoted_bytes_max = 128;

std::unexpected<Error> refuse(std::string_view text, std::string detail) {
  std::string shown(text.substr(0, quoted_bytes_max));
  if (text.size() > quoted_bytes_max) shown += "...";
  return fail(ErrorKind::invalid, "address pattern \"" + shown + "\"", std::move(detail));
}

constexpr std::string_view forms =
    "write \"name@domain\", \"*@domain\", \"*@*.domain\" or \"*\" alone";

bool is_subdomain_of(std::string_view domain, std::string_view parent) {
  if (domain.size() <= parent.size() + 1) return false;
  const std::size_t dot = domain.size() - parent.size() - 1;
  return domain[dot] == '.' && equals_ignoring_case(domain.substr(dot + 1), parent);
}

}  // namespace

Result<AddressPattern> AddressPattern::parse(std::string_view text) {
  AddressPattern pattern;
  pattern.text_ = text;
  if (text.empty()) return refuse(text, "is empty; " + std::string(forms));
  if (text == "*") {
    pattern.kind_ = Kind::everything;
    return pattern;
  }
  const bool any_local_part = text.starts_with("*@");
  std::string_view rest = text;
  if (any_local_part) {
    rest.remove_prefix(2);
    pattern.kind_ = Kind::domain;
    if (rest.starts_with("*.")) {
      rest.remove_prefix(2);
      pattern.kind_ = Kind::subdomains;
    }
  }
  if (rest.find('*') != std::string_view::npos) {
    return refuse(text, "a '*' may not stand there; " + std::string(forms));
  }
  if (!any_local_part) {
    auto mailbox = smtp::parse_mailbox(rest, true);
    if (!mailbox) return refuse(text, "is no mail address; " + std::string(forms));
    pattern.mailbox_ = std::move(*mailbox);
    return pattern;
  }
  const bool literal = pattern.kind_ == Kind::domain && smtp::is_address_literal(rest);
  if (rest.size() > smtp::domain_bytes_max || (!literal && !smtp::is_valid_domain(rest, true))) {
    return refuse(text, "the part after the '@' is no domain; " + std::string(forms));
  }
  pattern.mailbox_.domain = to_lower(rest);
  return pattern;
}

bool AddressPattern::matches(const smtp::Mailbox& mailbox) const {
  switch (kind_) {
    case Kind::everything:
      return true;
    case Kind::domain:
      return equals_ignoring_case(mailbox.domain, mailbox_.domain);
    case Kind::subdomains:
      return is_subdomain_of(mailbox.domain, mailbox_.domain);
    case Kind::mailbox:
      return smtp::same_mailbox(mailbox, mailbox_);
  }
  return false;
}

bool any_matches(const std::vector<AddressPattern>& patterns, const smtp::Mailbox& mailbox) {
  return std::ranges::any_of(
      patterns, [&](const AddressPattern& pattern) { return pattern.matches(mailbox); });
}

}  // namespace postern::policy
