// Fields of a header, kept octet by octet. Promise and sharp edge: see header.hpp.
#include "relay/message/header.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/message/field_syntax.hpp"

namespace postern::message {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Takes one line with its CRLF (or the rest, when there is none) off the front of `text`.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  const std::size_t bytes = end == std::string_view::npos ? text.size() : end + 2;
  const std::string_view line = text.substr(0, bytes);
  text.remove_prefix(bytes);
  return line;
}

}  // namespace

std::optional<std::size_t> field_name_bytes(std::string_view line) {
  std::size_t name = 0;
  while (name < line.size() && line[name] > ' ' && line[name] <= '~' && line[name] != ':') ++name;
  std::size_t colon = name;
  while (colon < line.size() && is_blank(line[colon])) ++colon;
  if (name == 0 || colon >= line.size() || line[colon] != ':') return std::nullopt;
  return name;
}

bool HeaderField::is(std::string_view field_name) const {
  return equals_ignoring_case(name(), field_name);
}

std::string HeaderField::value() const {
  const std::size_t colon = octets.find(':', name_bytes);
  if (colon == std::string::npos) return {};
  std::string unfolded;
  unfolded.reserve(octets.size() - colon);
  // Unfolding takes the CRLF away and leaves the blank after it (RFC 5322 §2.2.3).
  for (std::size_t i = colon + 1; i < octets.size(); ++i) {
    if (octets[i] != '\r' && octets[i] != '\n') unfolded += octets[i];
  }
  return std::string(trim(unfolded));
}

Result<Header> Header::parse(std::string_view block) {
  constexpr std::string_view operation = "read the message header";
  if (block.size() > header_bytes_max) {
    return fail(ErrorKind::no_space, std::string(operation),
                "the header is longer than " + std::to_string(header_bytes_max) + " octets");
  }
  Header header;
  std::size_t line_number = 0;
  while (!block.empty()) {
    const std::string_view line = take_line(block);
    ++line_number;
    if (is_blank(line[0]) && !header.fields_.empty()) {
      header.fields_.back().octets += line;
      continue;
    }
    const auto name_bytes = field_name_bytes(line);
    if (!name_bytes && header.fields_.empty()) return Header();  // no header at all
    if (!name_bytes) {
      return fail(ErrorKind::invalid, std::string(operation),
                  "line " + std::to_string(line_number) +
                      " is neither a header field nor the continuation of one; an empty line must "
                      "stand between the header and the text");
    }
    if (header.fields_.size() >= header_fields_max) {
      return fail(ErrorKind::no_space, std::string(operation),
                  "the header has more than " + std::to_string(header_fields_max) + " fields");
    }
    header.fields_.push_back({std::string(line), *name_bytes});
  }
  if (!header.fields_.empty() && !header.fields_.back().octets.ends_with("\r\n")) {
    header.fields_.back().octets += "\r\n";  // what is put after it must start a line of its own
  }
  return header;
}

const HeaderField* Header::find(std::string_view name) const {
  const auto found = std::ranges::find_if(fields_, [name](const auto& f) { return f.is(name); });
  return found == fields_.end() ? nullptr : &*found;
}

std::size_t Header::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(fields_, [name](const auto& f) { return f.is(name); }));
}

void Header::remove(std::string_view name) {
  remove_if([name](const HeaderField& field) { return field.is(name); });
}

void Header::prepend(std::string field_octets) {
  const std::size_t name_bytes = field_name_bytes(field_octets).value_or(0);
  fields_.insert(fields_.begin(), HeaderField{std::move(field_octets), name_bytes});
}

void Header::append(std::string field_octets) {
  const std::size_t name_bytes = field_name_bytes(field_octets).value_or(0);
  fields_.push_back(HeaderField{std::move(field_octets), name_bytes});
}

std::string Header::octets() const {
  std::string all;
  for (const HeaderField& field : fields_) all += field.octets;
  return all;
}

}  // namespace postern::message
