// links: postern_config
// Any text is a configuration or has problems, each with a place; the text stands for every file it
// names.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/random.hpp"
#include "relay/base/assert.hpp"
#include "relay/config/loader.hpp"

namespace {

class OneText final : public postern::config::FileSource {
 public:
  explicit OneText(std::string_view text) : text_(text) {}
  postern::Result<std::string> read(const std::string&, std::size_t) override { return text_; }
  postern::Result<postern::Secret> read_secret(const std::string&, std::size_t) override {
    return postern::Secret(text_);
  }
  postern::Result<std::string> read_user_file(const std::string&, std::size_t) override {
    return text_;
  }
  postern::Result<std::vector<std::string>> user_files(const std::string&) override {
    return std::vector<std::string>{"a.toml"};
  }

 private:
  std::string text_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool ready = postern::crypto::initialise().has_value();
  POSTERN_ASSERT(ready);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  OneText files(text);
  const auto result = postern::config::load_from_text(text, "postern.toml", files);
  POSTERN_ASSERT((result.configuration == nullptr) != result.problems.empty());
  for (const auto& problem : result.problems)
    POSTERN_ASSERT(problem.text().find('\n') == std::string::npos);
  return 0;
}
