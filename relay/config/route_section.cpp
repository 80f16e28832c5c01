// [[route]]: which upstreams a message goes to; the first match wins.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"
#include "relay/config/words.hpp"

namespace postern::config {

namespace {

std::vector<policy::AddressPattern> read_patterns(TableReader& table, std::string_view key) {
  std::vector<policy::AddressPattern> parsed;
  const auto texts = table.text_list(key);
  if (!texts) return parsed;
  for (const auto& text : *texts) {
    auto pattern = policy::AddressPattern::parse(text.value);
    if (pattern) {
      parsed.push_back(std::move(*pattern));
    } else {
      table.problem(text.place,
                    fmt::format("{} holds {}: {}", key, shown(text.value), pattern.error().detail));
    }
  }
  return parsed;
}

// The names, each of which must be among `known`.
std::vector<std::string> read_names(TableReader& table, std::string_view key, std::string_view kind,
                                    const std::map<std::string, Place, std::less<>>& known,
                                    bool star_allowed, bool known_complete) {
  std::vector<std::string> names;
  const auto texts = table.text_list(key);
  if (!texts) return names;
  std::vector<std::string_view> known_names;
  known_names.reserve(known.size());
  for (const auto& [name, place] : known) known_names.push_back(name);
  for (const auto& text : *texts) {
    const bool star = star_allowed && text.value == "*";
    if (!star && known_complete && !known.contains(text.value)) {
      const std::string_view meant = nearest_name(text.value, known_names);
      table.problem(
          text.place,
          fmt::format("{} names {}, and there is no [[{}]] of that name{}", key, shown(text.value),
                      kind, meant.empty() ? "" : fmt::format("; did you mean {}?", shown(meant))));
    } else if (std::ranges::find(names, text.value) != names.end()) {
      table.problem(text.place, fmt::format("{} names {} twice", key, shown(text.value)));
    } else {
      names.push_back(text.value);
    }
  }
  return names;
}

bool takes_everything(const policy::Route& route) {
  const auto every = [](const auto& texts, const auto& text_of) {
    return texts.empty() ||
           std::ranges::any_of(texts, [&](const auto& item) { return text_of(item) == "*"; });
  };
  const auto pattern_text = [](const policy::AddressPattern& pattern) { return pattern.text(); };
  return every(route.recipients, pattern_text) && every(route.senders, pattern_text) &&
         every(route.users, [](const std::string& name) { return name; });
}

}  // namespace

void read_routes(TableReader& root, LoadContext& context) {
  if (!root.has("route")) {
    // With one upstream there is nothing to choose; with several the file must say.
    if (context.upstream_places.size() == 1) {
      context.into.routes.push_back({{}, {}, {}, {context.upstream_places.begin()->first}});
    } else if (context.upstream_places.size() > 1) {
      root.problem(root.place(),
                   "there are several [[upstream]] and no [[route]]; add one that says which "
                   "upstreams to use, in which order");
    }
  }
  Place last;
  for (TableReader& table : root.tables("route", routes_max)) {
    last = table.place();
    policy::Route route;
    route.recipients = read_patterns(table, "recipients");
    route.senders = read_patterns(table, "senders");
    route.users =
        read_names(table, "users", "user", context.user_places, true, context.users_complete);
    if (!table.has("upstreams")) table.missing("upstreams (names of [[upstream]], tried in order)");
    route.upstreams =
        read_names(table, "upstreams", "upstream", context.upstream_places, false, true);
    table.finish();
    context.into.routes.push_back(std::move(route));
  }
  if (root.has("route") && std::ranges::none_of(context.into.routes, takes_everything)) {
    context.warnings.add(last,
                         "warning: mail that fits no [[route]] waits and comes back at its "
                         "lifetime's end; a last [[route]] with nothing but upstreams takes it");
  }
}

}  // namespace postern::config
