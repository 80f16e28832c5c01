// Reading a password line; see the header.
#include "password_input.hpp"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "relay/base/text.hpp"

namespace postern::tools {

namespace {

// A password shorter than this is guessed in spite of every lock; longer than the most does not fit
// an AUTH line.
constexpr std::size_t password_bytes_min = 8;
constexpr std::size_t password_bytes_max = 256;

// The terminal does not show what is typed while this lives.
class HiddenTyping {
 public:
  HiddenTyping() {
    if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    active_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
    std::fputs("Password: ", stderr);
  }
  HiddenTyping(const HiddenTyping&) = delete;
  HiddenTyping& operator=(const HiddenTyping&) = delete;
  ~HiddenTyping() {
    if (!active_) return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::fputs("\n", stderr);
  }

 private:
  termios before_{};
  bool active_ = false;
};

}  // namespace

Outcome<Secret> read_password() {
  Secret buffer = Secret::of_size(password_bytes_max + 2);  // and a line end
  std::size_t size = 0;
  {
    const HiddenTyping hidden;
    while (size < buffer.size()) {
      std::byte& next = buffer.writable()[size];
      const ssize_t count = ::read(STDIN_FILENO, &next, 1);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0 || next == std::byte{'\n'}) break;
      ++size;
    }
  }
  std::string_view line = buffer.text().substr(0, size);
  if (line.ends_with('\r')) line.remove_suffix(1);
  const bool clean = is_valid_utf8(line) && line.find('\0') == std::string_view::npos;
  if (line.size() < password_bytes_min || line.size() > password_bytes_max || !clean) {
    return stop(fmt::format("the password on standard input is not {} to {} octets of UTF-8 text",
                            password_bytes_min, password_bytes_max),
                "Give it as the first line of standard input, or leave out --password-stdin to "
                "have one made.");
  }
  return Secret(line);
}

}  // namespace postern::tools
