// Typed access to one TOML table: every read notes the key as known, and every mistake as a
// problem.
//
// Promise: a getter that finds the wrong type, an empty or overlong text or a number out of range
// adds one problem that says what is allowed, and returns nothing; finish() adds one for every key
// nobody asked for, with the name that was probably meant. Values of text keys are never part of
// these messages, because a misplaced value may be a secret. Sharp edge: call finish() last; a
// TableReader points into the parsed file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/config/problems.hpp"
#include "relay/config/toml.hpp"

namespace postern::config {

using TextList = std::vector<Placed<std::string>>;

class TableReader {
 public:
  // `title` is how messages call it: "[server]", "[[user]]"; empty for the file's top.
  TableReader(const toml::table& table, std::string title, std::string file, Problems& problems);

  [[nodiscard]] Place place() const;                         // of the table's header
  [[nodiscard]] Place place_of(std::string_view key) const;  // of the value, else of the table
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] const std::string& file() const { return file_; }

  [[nodiscard]] std::optional<Placed<std::string>> text(std::string_view key);
  [[nodiscard]] std::optional<Placed<std::string>> required_text(std::string_view key);
  [[nodiscard]] std::optional<Placed<std::uint64_t>> integer(std::string_view key,
                                                             std::uint64_t min, std::uint64_t max);
  [[nodiscard]] std::optional<Placed<bool>> boolean(std::string_view key);
  [[nodiscard]] std::optional<Placed<Duration>> duration(std::string_view key, Duration min,
                                                         Duration max);
  // The index of the text among `names`.
  [[nodiscard]] std::optional<Placed<std::size_t>> choice(std::string_view key,
                                                          std::span<const std::string_view> names);
  // A list of texts, never empty.
  [[nodiscard]] std::optional<TextList> text_list(std::string_view key);

  // A [table], and the tables of a [[table]]; empty when there is none.
  [[nodiscard]] std::optional<TableReader> table(std::string_view key);
  [[nodiscard]] std::vector<TableReader> tables(std::string_view key, std::size_t tables_max);

  void missing(std::string_view key);  // adds "[server] lacks hostname"
  void problem(const Place& place, std::string message) {
    problems_->add(place, std::move(message));
  }
  // A key that does not belong here and deserves words of its own: a problem when it is there.
  void refuse(std::string_view key, std::string message);
  void finish();

 private:
  const toml::node* find(std::string_view key);
  [[nodiscard]] Place place_at(const toml::source_region& region) const;
  [[nodiscard]] std::string in_title() const;  // " in [server]"
  void wrong_type(std::string_view key, const toml::node& node, std::string_view allowed);
  bool acceptable_text(std::string_view key, const toml::node& node, const std::string& value);

  const toml::table* table_;
  std::string title_;
  std::string file_;
  Problems* problems_;
  std::vector<std::string_view> known_;
};

// Parses one file's text; on a syntax error adds the problem and returns nothing.
[[nodiscard]] std::optional<toml::table> parse_toml(std::string_view text, const std::string& file,
                                                    Problems& problems);

// "5m": a whole number and one of ms, s, m, h, d.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);

}  // namespace postern::config
