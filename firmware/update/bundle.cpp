// The head of an update bundle; see the header.
#include "firmware/update/bundle.hpp"

#include <charconv>
#include <set>
#include <vector>

namespace postern::firmware {

namespace {

constexpr std::string_view magic = "POSTERN-BUNDLE 1 ";
constexpr char operation[] = "read the update";

std::unexpected<Error> malformed(std::string detail) {
  return fail(ErrorKind::invalid, operation, std::move(detail));
}

std::vector<std::string_view> words_of(std::string_view line, char separator) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(separator), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

template <class Number>
bool read_number(std::string_view word, Number& into) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into);
  return error == std::errc() && end == word.data() + word.size();
}

bool read_part(const std::vector<std::string_view>& words, std::uint64_t bytes_max,
               BundlePart& into) {
  if (words.size() != 3 || !read_number(words[1], into.bytes)) return false;
  into.sha256 = words[2];
  return into.bytes > 0 && into.bytes <= bytes_max && words[2].size() == 64 &&
         words[2].find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool read_line(const std::vector<std::string_view>& words, Manifest& into) {
  if (words.size() < 2) return false;
  if (words[0] == "root") return read_part(words, root_bytes_max, into.root);
  if (words[0] == "kernel-a") return read_part(words, kernel_bytes_max, into.kernel_a);
  if (words[0] == "kernel-b") return read_part(words, kernel_bytes_max, into.kernel_b);
  if (words.size() != 2) return false;
  if (words[0] == "version") into.version = words[1];
  if (words[0] == "architecture") into.architecture = words[1];
  if (words[0] == "built") return read_number(words[1], into.built) && into.built > 0;
  return words[0] == "version" || words[0] == "architecture";
}

}  // namespace

Result<BundleHead> read_bundle_head(std::string_view front) {
  const std::size_t line_end = front.find('\n');
  if (!front.starts_with(magic) || line_end == std::string_view::npos)
    return malformed("this is no update for Postern");
  const auto words = words_of(front.substr(magic.size(), line_end - magic.size()), ' ');
  std::size_t manifest_bytes = 0, signature_bytes = 0;
  if (words.size() != 2 || !read_number(words[0], manifest_bytes) ||
      !read_number(words[1], signature_bytes) || manifest_bytes > bundle_head_bytes_max ||
      signature_bytes > bundle_head_bytes_max ||
      line_end + 1 + manifest_bytes + signature_bytes > front.size()) {
    return malformed("its first line does not fit what follows");
  }
  BundleHead head;
  head.manifest_text = front.substr(line_end + 1, manifest_bytes);
  head.signature = front.substr(line_end + 1 + manifest_bytes, signature_bytes);
  head.parts_at = line_end + 1 + manifest_bytes + signature_bytes;
  return head;
}

Result<Manifest> read_manifest(std::string_view text) {
  Manifest manifest;
  std::set<std::string_view> seen;
  for (const std::string_view line : words_of(text, '\n')) {
    const auto words = words_of(line, ' ');
    if (!read_line(words, manifest) || !seen.insert(words[0]).second)
      return malformed("its manifest has a line that does not belong there");
  }
  if (seen.size() != 6) return malformed("its manifest lacks a line");
  return manifest;
}

}  // namespace postern::firmware
