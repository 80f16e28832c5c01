// links: postern_smtp
// The dot reader: whole and in pieces it agrees with itself, and nothing bare comes out.
#include <string>

#include "relay/base/assert.hpp"
#include "relay/smtp/content.hpp"

namespace {

using namespace postern::smtp;

std::string read(std::string_view input, BareNewline bare_newline, std::size_t piece) {
  ContentReader reader(bare_newline);
  std::string content;
  auto status = ContentReader::Status::need_more;
  while (!input.empty() && status == ContentReader::Status::need_more) {
    std::string_view part = input.substr(0, piece);
    const std::size_t given = part.size();
    status = reader.read(part);
    input.remove_prefix(given - part.size());
    content += postern::as_text(reader.output());
  }
  for (std::size_t i = 0; i < content.size(); ++i) {
    POSTERN_ASSERT(content[i] != '\0');
    POSTERN_ASSERT(content[i] != '\n' || (i > 0 && content[i - 1] == '\r'));
    POSTERN_ASSERT(content[i] != '\r' || (i + 1 < content.size() && content[i + 1] == '\n'));
  }
  const bool fault =
      status != ContentReader::Status::need_more && status != ContentReader::Status::end;
  const std::string rest = status == ContentReader::Status::end ? std::to_string(input.size()) : "";
  return std::to_string(static_cast<int>(status)) + ":" + rest + ":" +
         (fault ? std::string() : content);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto mode = (data[0] & 1) != 0 ? BareNewline::normalize : BareNewline::reject;
  const std::string whole = read(input, mode, size);
  POSTERN_ASSERT(read(input, mode, 1) == whole);
  POSTERN_ASSERT(read(input, mode, 2 + data[0] / 2U) == whole);
  return 0;
}
