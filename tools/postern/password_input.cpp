// Reading a password line; see the header.
#include "password_input.hpp"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "crypto/random.hpp"
#include "crypto/sealed_file.hpp"
#include "relay/base/file.hpp"
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
  explicit HiddenTyping(const char* prompt) {
    if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    active_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
    std::fputs(prompt, stderr);
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

// One line of standard input without its end; `bytes_max` and a little more is all that is read.
Secret read_line(const char* prompt, std::size_t bytes_max) {
  Secret buffer = Secret::of_size(bytes_max + 2);  // and a line end
  std::size_t size = 0;
  {
    const HiddenTyping hidden(prompt);
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
  return Secret(line);
}

bool is_clean(const Secret& line, std::size_t bytes_min, std::size_t bytes_max) {
  return line.size() >= bytes_min && line.size() <= bytes_max && is_valid_utf8(line.text()) &&
         line.text().find('\0') == std::string_view::npos;
}

// Written by any editor on any machine.
Outcome<Secret> read_first_line(const std::string& path) {
  constexpr std::size_t bytes_max = 4'096;
  const auto content = read_secret_file(path, bytes_max);
  if (!content) return stop(content.error());
  std::string_view text = content->text();
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  text = text.substr(0, text.find('\n'));
  while (text.ends_with('\r') || text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return Secret(text);
}

}  // namespace

Outcome<Secret> read_password() {
  Secret line = read_line("Password: ", password_bytes_max);
  if (!is_clean(line, password_bytes_min, password_bytes_max)) {
    return stop(fmt::format("the password on standard input is not {} to {} octets of UTF-8 text",
                            password_bytes_min, password_bytes_max),
                "Give it as the first line of standard input, or leave out --password-stdin to "
                "have one made.");
  }
  return line;
}

Outcome<Secret> read_passphrase(const PassphraseOrder& order, bool fresh) {
  if (order.make) return crypto::make_device_password();
  Secret line;
  if (order.file) {
    auto read = read_first_line(*order.file);
    if (!read) return read;
    line = std::move(*read);
  } else if (order.from_stdin) {
    line = read_line("Passphrase of the backup: ", crypto::passphrase_bytes_max);
  } else if (::isatty(STDIN_FILENO) != 0) {
    line = read_line("Passphrase of the backup: ", crypto::passphrase_bytes_max);
    if (fresh && read_line("The same again: ", crypto::passphrase_bytes_max).text() != line.text())
      return stop("the two passphrases differ", "Try again.");
  } else {
    return stop("there is no terminal to ask for a passphrase",
                "Give it as the first line of standard input, with --passphrase-stdin.");
  }
  if (!is_clean(line, crypto::passphrase_bytes_min, crypto::passphrase_bytes_max)) {
    return stop(fmt::format("the passphrase is not {} to {} octets of UTF-8 text",
                            crypto::passphrase_bytes_min, crypto::passphrase_bytes_max),
                "Whoever has the file may guess at leisure: use a few words, or let one be made "
                "with --make-passphrase.");
  }
  return line;
}

}  // namespace postern::tools
