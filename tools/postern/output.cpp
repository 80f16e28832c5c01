// Reports, failures and tables; see the header.
#include "output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <span>

#include "relay/base/log.hpp"
#include "relay/base/secret.hpp"

namespace postern::tools {

namespace {

// A column keeps at least this much, so that each one still says something.
constexpr std::size_t column_width_min = 10;
constexpr std::string_view column_gap = "  ";

// Takes from the widest column, one by one, until a row fits.
void shrink_to_fit(std::vector<std::size_t>& widths) {
  if (widths.empty()) return;
  for (;;) {
    std::size_t total = column_gap.size() * (widths.size() - 1);
    for (const std::size_t width : widths) total += width;
    const auto widest = std::ranges::max_element(widths);
    if (total <= columns_available() || *widest <= column_width_min) return;
    --*widest;
  }
}

bool write_out(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

void wipe_text(std::string& text) {
  wipe(std::as_writable_bytes(std::span(text.data(), text.size())));
}

std::string advice_for(const Error& error) {
  switch (error.kind) {
    case ErrorKind::denied:
      return "Run the command as root or as the user the relay runs as.";
    case ErrorKind::not_found:
      return "Check the name, or give the right configuration file with --config FILE.";
    case ErrorKind::exists:
      return "Take the other one away first, or choose another name.";
    case ErrorKind::no_space:
      return "Make room on the disk, then try again.";
    case ErrorKind::busy:
    case ErrorKind::timeout:
      return "Try again in a moment; the relay's log says more.";
    case ErrorKind::invalid:
    case ErrorKind::io:
    case ErrorKind::corrupt:
    case ErrorKind::unsupported:
      break;
  }
  return "Mend what the message names, then try again.";
}

}  // namespace

std::unexpected<Failure> stop(std::string error, std::string advice) {
  return std::unexpected(Failure{std::move(error), std::move(advice)});
}

std::unexpected<Failure> stop(const Error& error) { return stop(error.text(), advice_for(error)); }

void print_failure(const Failure& failure, bool json) {
  if (json) {
    Json object;
    object["error"] = failure.error;
    object["advice"] = failure.advice;
    write_out(stderr, control::write_json(object) + '\n');
  } else {
    write_out(stderr, fmt::format("postern: {}\n{}\n", failure.error, failure.advice));
  }
}

int print(Outcome<> outcome, bool json) {
  if (!outcome) {
    print_failure(outcome.error(), json);
    return outcome.error().exit_code;
  }
  std::string text = json ? control::write_json(outcome->json) + '\n' : std::move(outcome->text);
  const bool written = write_out(stdout, text);
  wipe_text(text);
  // An array has no room for a key of its own, and a script must not take half a list for the
  // whole.
  if ((!json || outcome->json.is_array()) && !outcome->warning.empty())
    write_out(stderr, "postern: " + outcome->warning + '\n');
  if (!written) {
    print_failure(
        {"the output could not be written", "Check where standard output goes, then try again."},
        json);
    return outcome->exit_code == 0 ? exit_failed : outcome->exit_code;
  }
  return outcome->exit_code;
}

std::string printable(std::string_view peer_text) { return quote_log_value(peer_text); }

std::size_t columns_available() {
  return ::isatty(STDOUT_FILENO) == 1 ? columns_max : std::numeric_limits<std::size_t>::max();
}

std::string counted(std::uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::string readable_lines(std::string_view text) {
  std::string lines(text);
  for (char& c : lines) {
    if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) c = '?';
  }
  return lines;
}

std::string fitted(std::string text, std::size_t columns) {
  constexpr std::string_view mark = "...";
  if (text.size() <= columns) return text;
  text.resize(columns > mark.size() ? columns - mark.size() : 0);
  return text + std::string(mark);
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> units = {"B", "kB", "MB", "GB", "TB"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (amount >= 1000 && unit + 1 < units.size()) {
    amount /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", amount, units[unit]);
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  shrink_to_fit(widths);
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}", fitted(row[i], widths[i]), widths[i]);
      if (i + 1 < row.size()) line += column_gap;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  const auto* text = found == object.end() ? nullptr : found->get_ptr<const std::string*>();
  return text == nullptr ? std::string() : *text;
}

std::uint64_t number_at(const Json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool flag_at(const Json& object, const char* key) {
  if (!object.is_object()) return false;
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& list_at(const Json& object, const char* key) {
  static const Json none = Json::array();
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : none;
}

}  // namespace postern::tools
