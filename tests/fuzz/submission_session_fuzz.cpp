// links: postern_smtp
// The whole server machine, started from any of its states: the first octet chooses the state, the
// second the answers and the size of the pieces, the rest is what the client sends.
//
// Checked: content only between BeginContent and its end, no transaction without a user, nothing
// after Close, whole reply lines only, and no standstill that nobody can end.
#include <array>
#include <string>
#include <utility>
#include <variant>

#include "relay/base/assert.hpp"
#include "relay/smtp/submission_session.hpp"

namespace {

using namespace postern;
using namespace postern::smtp;

class Client {
 public:
  Client(bool implicit_tls, unsigned answers)
      : session_({.hostname = "relay.example",
                  .message_bytes_max = 200,
                  .recipients_max = 3,
                  .implicit_tls = implicit_tls}),
        answers_(answers) {
    session_.start();
    drain();
  }

  void send(std::string_view octets, std::size_t piece_bytes) {
    while (!octets.empty() && !closed_) {
      const std::string_view piece = octets.substr(0, piece_bytes);
      const std::size_t taken = session_.receive(as_bytes(piece));
      octets.remove_prefix(taken);
      const bool acted = drain();
      POSTERN_ASSERT(taken > 0 || acted);  // else nobody could ever go on
    }
  }
  void answer_honestly(bool honestly) { honest_ = honestly; }

 private:
  bool drain() {
    bool any = false;
    while (auto action = session_.next_action()) {
      POSTERN_ASSERT(!closed_);
      any = true;
      std::visit([this](auto& wish) { perform(wish); }, *action);
    }
    return any;
  }
  // A pseudo-random bit of the input's choosing: true means yes.
  bool yes() {
    if (honest_) return true;
    answers_ = answers_ * 1'103'515'245U + 12'345U;
    return (answers_ >> 16 & 3U) != 0;
  }
  PolicyVerdict verdict() {
    if (yes()) return std::nullopt;
    return make_reply(yes() ? 450 : 421, {4, 7, 1}, "no");
  }
  void perform(const SendReply& reply) {
    POSTERN_ASSERT(reply.wire.ends_with("\r\n") && reply.wire.size() > 5);
    if (!yes()) session_.refuse_content(make_reply(550, {5, 7, 1}, "no"));
  }
  void perform(const StartTls&) { session_.tls_started(); }
  void perform(const CheckCredential& check) {
    POSTERN_ASSERT(!check.user_name.empty() && check.user_name.size() <= 255);
    constexpr std::array kinds = {CredentialVerdict::Kind::refused,
                                  CredentialVerdict::Kind::unavailable};
    session_.credential_checked(
        {.kind = yes() ? CredentialVerdict::Kind::accepted : kinds[answers_ >> 20 & 1U],
         .bare_newline =
             (answers_ >> 21 & 1U) != 0 ? BareNewline::normalize : BareNewline::reject});
  }
  void perform(const CheckSender&) {
    POSTERN_ASSERT(session_.user() != nullptr && !content_open_);
    session_.sender_checked(verdict());
  }
  void perform(const CheckRecipient&) {
    POSTERN_ASSERT(session_.envelope() != nullptr && session_.envelope()->recipients.size() < 3);
    session_.recipient_checked(verdict());
  }
  void perform(const BeginContent&) {
    POSTERN_ASSERT(session_.user() != nullptr && !session_.envelope()->recipients.empty());
    POSTERN_ASSERT(!std::exchange(content_open_, true));
    content_bytes_ = 0;
    session_.content_ready(verdict());
  }
  void perform(const AppendContent& append) {
    POSTERN_ASSERT(content_open_);
    content_bytes_ += append.octets.size();
    POSTERN_ASSERT(content_bytes_ <= 200);
  }
  void perform(const CommitMessage&) {
    POSTERN_ASSERT(std::exchange(content_open_, false));
    session_.message_committed(make_reply(250, {2, 0, 0}, "queued"));
  }
  void perform(const DiscardMessage&) { POSTERN_ASSERT(std::exchange(content_open_, false)); }
  void perform(const Close&) {
    POSTERN_ASSERT(!content_open_ && session_.envelope() == nullptr);
    closed_ = true;
  }

  SubmissionSession session_;
  unsigned answers_;
  bool honest_ = true;
  bool closed_ = false;
  bool content_open_ = false;
  std::size_t content_bytes_ = 0;
};

// What leads into each state that waits for the client.
constexpr std::array<std::string_view, 9> preludes = {
    "",
    "",
    "EHLO c\r\n",
    "EHLO c\r\nAUTH PLAIN\r\n",
    "EHLO c\r\nAUTH LOGIN c2Nhbg==\r\n",
    "EHLO c\r\nAUTH PLAIN AHNjYW4AcA==\r\n",
    "EHLO c\r\nAUTH PLAIN AHNjYW4AcA==\r\nMAIL FROM:<s@o.example>\r\n",
    "EHLO c\r\nAUTH PLAIN AHNjYW4AcA==\r\nMAIL FROM:<s@o.example>\r\nRCPT TO:<a@b.example>\r\n",
    "EHLO c\r\nAUTH PLAIN AHNjYW4AcA==\r\nMAIL FROM:<s@o.example>\r\nRCPT "
    "TO:<a@b.example>\r\nDATA\r\n"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t start = data[0] % preludes.size();
  Client client(start != 0, data[1]);
  client.send(preludes[start], 4096);
  client.answer_honestly(false);
  const std::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);
  client.send(input, data[1] % 2 == 0 ? 4096 : 1 + data[1] % 16U);
  return 0;
}
