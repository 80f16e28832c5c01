// [[dkim]]: the keys that sign outgoing mail, one table a domain and selector.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/config/check.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"
#include "relay/config/words.hpp"
#include "relay/policy/signing_keys.hpp"

namespace postern::config {

namespace {

// The domain or selector as it stands in DNS; nothing after a problem.
std::optional<std::string> read_dns_name(TableReader& table, std::string_view key, bool qualified,
                                         std::string_view example) {
  const auto text = table.required_text(key);
  if (!text) return std::nullopt;
  if (qualified ? is_qualified_domain(text->value) : smtp::is_valid_domain(text->value, false)) {
    return to_lower(text->value);
  }
  table.problem(text->place, fmt::format("{} is {}; allowed is a DNS name such as \"{}\"", key,
                                         shown(text->value), example));
  return std::nullopt;
}

// The domains a user may send as that no key signs; "*" and "*.office.example" are not one domain.
std::vector<std::string> unsigned_domains_of(const Configuration& configuration,
                                             const policy::User& user) {
  std::vector<std::string> found;
  for (const auto& sender : user.senders) {
    const std::string& text = sender.text();
    std::string domain = to_lower(text.substr(text.rfind('@') + 1));
    if (domain.starts_with('*')) continue;
    if (policy::signing_keys(configuration.dkim_keys, domain).empty()) {
      found.push_back(std::move(domain));
    }
  }
  return found;
}

// A provider that asks for signatures refuses such mail, or lets it end among the spam.
void warn_of_unsigned_mail(LoadContext& context) {
  std::set<std::string> told;
  for (const auto& [name, user] : context.into.users) {
    for (const std::string& domain : unsigned_domains_of(context.into, user)) {
      if (!told.insert(domain).second) continue;
      context.warnings.add(context.user_places.at(name),
                           fmt::format("warning: mail from {} will leave unsigned; `postern dkim "
                                       "generate {}` makes the keys for a [[dkim]]",
                                       shown(domain), domain));
    }
  }
}

}  // namespace

void read_dkim_keys(TableReader& root, LoadContext& context) {
  std::map<std::pair<std::string, std::string>, Place> places;
  for (TableReader& table : root.tables("dkim", dkim_keys_max)) {
    const auto domain = read_dns_name(table, "domain", true, "office.example");
    const auto selector = read_dns_name(table, "selector", false, "p2026a");
    const auto key_file = table.required_text("private_key_file");
    table.finish();
    std::optional<Secret> pem;
    if (key_file)
      pem = read_named_secret(context, "private_key_file", *key_file, private_key_bytes_max);
    if (!domain || !selector) continue;
    const auto [other, fresh] = places.emplace(std::pair(*domain, *selector), table.place());
    if (!fresh) {
      // One DNS record holds one key (RFC 6376 §3.6.2.2): the second signature could never verify.
      table.problem(
          table.place_of("selector"),
          fmt::format("domain {} with selector {} is there already, at {}; each key needs its own "
                      "selector",
                      shown(*domain), shown(*selector), other->second.text()));
      continue;
    }
    if (!pem) continue;
    auto key = crypto::DkimKey::load(*domain, *selector, *pem);
    if (key) {
      context.into.dkim_keys.push_back(std::move(*key));
    } else {
      table.problem(key_file->place,
                    fmt::format("private_key_file cannot be used: {}", key.error().text()));
    }
  }
  warn_of_unsigned_mail(context);
}

std::vector<std::string> domains_without_key(const Configuration& configuration) {
  std::set<std::string> found;
  for (const auto& [name, user] : configuration.users)
    for (std::string& domain : unsigned_domains_of(configuration, user))
      found.insert(std::move(domain));
  std::vector<std::string> topmost;
  std::ranges::copy_if(found, std::back_inserter(topmost), [&](const std::string& domain) {
    return std::ranges::none_of(
        found, [&](const std::string& parent) { return domain.ends_with('.' + parent); });
  });
  return topmost;
}

}  // namespace postern::config
