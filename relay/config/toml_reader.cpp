// Typed access to TOML tables; see the header.
#include "relay/config/toml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/toml_text.hpp"
#include "relay/config/words.hpp"

namespace postern::config {

namespace {

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

std::string joined(std::span<const std::string_view> names) {
  std::string all;
  for (const std::string_view name : names) {
    if (!all.empty()) all += ", ";
    all += fmt::format("\"{}\"", name);
  }
  return all;
}

// The text of line `line` (1 is the first).
std::string_view line_of(std::string_view text, std::uint32_t line) {
  for (; line > 1; --line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// What is probably wrong, for a person who never heard of the parser; empty when the line does not
// tell. Never quotes the line: it may hold a secret.
std::string_view probable_mistake(std::string_view description, std::string_view line) {
  if (description.find("redefine") != std::string_view::npos)
    return "this key or section is there already; take one of them away";
  line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::size_t equals = line.find('=');
  if (line.starts_with('[') && equals == std::string_view::npos && !line.ends_with(']'))
    return "this section's name lacks its closing bracket: [name], or [[name]] for one of several";
  if (equals == std::string_view::npos) return {};
  std::string_view value = line.substr(equals + 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  if (value.empty() || value.starts_with('#')) return "there is no value behind the =";
  const bool quoted = value.starts_with('"') || value.starts_with('\'');
  if (quoted && value.find(value.front(), 1) == std::string_view::npos)
    return "this text lacks its closing quote";
  if (value.starts_with('"') && value.find('\\') != std::string_view::npos)
    return "a backslash in a text is written twice: \"a\\\\b\"";
  if (is_letter(value.front()) || value.starts_with('/') || value.find('@') < value.find('"'))
    return "a text stands between quotes: key = \"value\"";
  return {};
}

}  // namespace

std::optional<toml::table> parse_toml(std::string_view text, const std::string& file,
                                      Problems& problems) {
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xff\xfe") ||
      text.starts_with("\xfe\xff")) {
    problems.add({file, 0, 0}, "this file is not UTF-8 text (UTF-16?); save it as UTF-8");
    return std::nullopt;
  }
  if (!is_valid_utf8(text)) {
    std::uint32_t line = 1;
    while (is_valid_utf8(line_of(text, line))) ++line;
    problems.add({file, line, 1}, "this line is not UTF-8 text (Latin-1?); save the file as UTF-8");
    return std::nullopt;
  }
  if (auto flaw = find_text_flaw(text)) {
    problems.add({file, flaw->line, flaw->column}, std::move(flaw->message));
    return std::nullopt;
  }
  toml::parse_result result = toml::parse(text, std::string_view(file));
  if (result) return std::move(result).table();
  const toml::parse_error& error = result.error();
  const auto& at = error.source().begin;
  const Place place{file, std::max<std::uint32_t>(at.line, 1),
                    std::max<std::uint32_t>(at.column, 1)};
  // The parser quotes pieces of what it read: not where that may be a verifier or a password.
  if (to_lower(line_of(text, place.line)).find("password") != std::string::npos) {
    problems.add(place, "this line is not valid TOML; a text stands between quotes on one line");
  } else if (const auto mistake = probable_mistake(error.description(), line_of(text, place.line));
             !mistake.empty()) {
    problems.add(place, std::string(mistake));
  } else {
    problems.add(place, fmt::format("this is not valid TOML: {}", shown(error.description())));
  }
  return std::nullopt;
}

std::optional<Duration> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> units = {
      {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_decimal<std::int64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const auto& [name, milliseconds] : units) {
    if (text.substr(digits) != name) continue;
    if (*number > std::numeric_limits<std::int64_t>::max() / milliseconds) return std::nullopt;
    return Duration(*number * milliseconds);
  }
  return std::nullopt;
}

TableReader::TableReader(const toml::table& table, std::string title, std::string file,
                         Problems& problems)
    : table_(&table), title_(std::move(title)), file_(std::move(file)), problems_(&problems) {}

Place TableReader::place_at(const toml::source_region& region) const {
  if (region.begin.line == 0) return {file_, 1, 1};
  return {file_, region.begin.line, region.begin.column};
}

Place TableReader::place() const { return place_at(table_->source()); }

Place TableReader::place_of(std::string_view key) const {
  const toml::node* node = table_->get(key);
  return node == nullptr ? place() : place_at(node->source());
}

bool TableReader::has(std::string_view key) const { return table_->get(key) != nullptr; }

std::string TableReader::in_title() const { return title_.empty() ? "" : " in " + title_; }

const toml::node* TableReader::find(std::string_view key) {
  known_.push_back(key);
  return table_->get(key);
}

void TableReader::wrong_type(std::string_view key, const toml::node& node,
                             std::string_view allowed) {
  problem(place_at(node.source()),
          fmt::format("{}{} is {}; allowed is {}", key, in_title(), type_name(node), allowed));
}

void TableReader::missing(std::string_view key) {
  problem(place(), title_.empty() ? fmt::format("{} is missing", key)
                                  : fmt::format("{} lacks {}", title_, key));
}

bool TableReader::acceptable_text(std::string_view key, const toml::node& node,
                                  const std::string& value) {
  const Place at = place_at(node.source());
  if (value.empty()) {
    problem(at, fmt::format("{} is empty; leave the key out or give it a value", key));
  } else if (value.size() > text_bytes_max) {
    problem(at, fmt::format("{} is longer than {} octets", key, text_bytes_max));
  } else if (std::ranges::any_of(
                 value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    problem(at, fmt::format("{} holds a control character; allowed is printable text", key));
  } else {
    return true;
  }
  return false;
}

std::optional<Placed<std::string>> TableReader::text(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_string();
  if (value == nullptr) {
    wrong_type(key, *node, "a text in quotes");
    return std::nullopt;
  }
  if (!acceptable_text(key, *node, value->get())) return std::nullopt;
  return Placed<std::string>{value->get(), place_at(node->source())};
}

std::optional<Placed<std::string>> TableReader::required_text(std::string_view key) {
  if (!has(key)) missing(key);
  return text(key);
}

std::optional<Placed<std::uint64_t>> TableReader::integer(std::string_view key, std::uint64_t min,
                                                          std::uint64_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const std::string allowed = fmt::format("a whole number from {} to {}", min, max);
  const auto* value = node->as_integer();
  if (value == nullptr) {
    wrong_type(key, *node, allowed);
    return std::nullopt;
  }
  const Place at = place_at(node->source());
  const std::int64_t number = value->get();
  if (number < 0 || std::cmp_less(number, min) || std::cmp_greater(number, max)) {
    problem(at, fmt::format("{} is {}; allowed are {} to {}", key, number, min, max));
    return std::nullopt;
  }
  return Placed<std::uint64_t>{static_cast<std::uint64_t>(number), at};
}

std::optional<Placed<bool>> TableReader::boolean(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_boolean();
  if (value == nullptr) {
    wrong_type(key, *node, "true or false");
    return std::nullopt;
  }
  return Placed<bool>{value->get(), place_at(node->source())};
}

std::optional<Placed<Duration>> TableReader::duration(std::string_view key, Duration min,
                                                      Duration max) {
  const auto words = text(key);
  if (!words) return std::nullopt;
  const auto value = parse_duration(words->value);
  if (!value) {
    problem(
        words->place,
        fmt::format("{} is {}; allowed is a number with a unit: \"90s\", \"5m\", \"4h\", \"2d\"",
                    key, shown(words->value)));
    return std::nullopt;
  }
  if (*value < min || *value > max) {
    problem(words->place, fmt::format("{} is {}; allowed are {} to {}", key, shown(words->value),
                                      written(min), written(max)));
    return std::nullopt;
  }
  return Placed<Duration>{*value, words->place};
}

std::optional<Placed<std::size_t>> TableReader::choice(std::string_view key,
                                                       std::span<const std::string_view> names) {
  const auto words = text(key);
  if (!words) return std::nullopt;
  const auto found = std::ranges::find(names, words->value);
  if (found == names.end()) {
    problem(words->place,
            fmt::format("{} is {}; allowed are {}", key, shown(words->value), joined(names)));
    return std::nullopt;
  }
  return Placed<std::size_t>{static_cast<std::size_t>(found - names.begin()), words->place};
}

std::optional<TextList> TableReader::text_list(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    wrong_type(key, *node, "a list of texts, such as [\"…\", \"…\"]");
    return std::nullopt;
  }
  const Place at = place_at(node->source());
  if (list->empty()) {
    problem(at, fmt::format("{} is an empty list; give it at least one value", key));
    return std::nullopt;
  }
  if (list->size() > list_items_max) {
    problem(at, fmt::format("{} has {} values; allowed are {}", key, list->size(), list_items_max));
    return std::nullopt;
  }
  TextList values;
  for (const toml::node& item : *list) {
    const auto* value = item.as_string();
    if (value == nullptr) {
      wrong_type(key, item, "a list of texts in quotes");
    } else if (acceptable_text(key, item, value->get())) {
      values.push_back({value->get(), place_at(item.source())});
    }
  }
  return values;
}

std::optional<TableReader> TableReader::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const toml::table* inner = node->as_table();
  if (inner == nullptr) {
    wrong_type(key, *node, fmt::format("one section [{}]", key));
    return std::nullopt;
  }
  return TableReader(*inner, fmt::format("[{}]", key), file_, *problems_);
}

std::vector<TableReader> TableReader::tables(std::string_view key, std::size_t tables_max) {
  std::vector<TableReader> all;
  const toml::node* node = find(key);
  if (node == nullptr) return all;
  const std::string title = fmt::format("[[{}]]", key);
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    wrong_type(key, *node, fmt::format("any number of sections {}", title));
    return all;
  }
  if (list->size() > tables_max) {
    problem(place_at(node->source()), fmt::format("there are {} sections {}; allowed are {}",
                                                  list->size(), title, tables_max));
    return all;
  }
  for (const toml::node& item : *list) {
    if (const toml::table* inner = item.as_table()) {
      all.emplace_back(*inner, title, file_, *problems_);
    } else {
      wrong_type(key, item, fmt::format("any number of sections {}", title));
    }
  }
  return all;
}

void TableReader::refuse(std::string_view key, std::string message) {
  if (find(key) != nullptr) problem(place_of(key), std::move(message));
}

void TableReader::finish() {
  for (const auto& [key, node] : *table_) {
    const std::string_view name = key.str();
    if (std::ranges::find(known_, name) != known_.end()) continue;
    const std::string_view meant = nearest_name(name, known_);
    std::string message = fmt::format("{}{} is not known", shown(name), in_title());
    if (!meant.empty()) {
      message += fmt::format("; did you mean \"{}\"?", meant);
    } else {
      std::vector<std::string_view> names(known_);
      std::ranges::sort(names);
      const auto repeated = std::ranges::unique(names);
      names.erase(repeated.begin(), repeated.end());
      message += fmt::format("; allowed are {}", joined(names));
    }
    problem(place_at(key.source()), std::move(message));
  }
}

}  // namespace postern::config
