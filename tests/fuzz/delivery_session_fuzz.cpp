// links: postern_smtp
// The client machine against a hostile upstream: the first octet chooses the settings, the rest is
// what the upstream says, in pieces whose length stands before them. Handshake, content and end are
// scripted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/smtp/delivery_session.hpp"

namespace {

using namespace postern;
using namespace postern::smtp;

constexpr std::size_t recipients = 3;
constexpr std::size_t transactions_max = 16;

Envelope envelope() {
  Envelope envelope;
  envelope.sender.reverse_path.mailbox = Mailbox{"scan", "office.example"};
  for (std::size_t i = 0; i < recipients; ++i) {
    envelope.recipients.push_back({Mailbox{std::string(i + 1, 'r'), "far.example"}, {}, {}});
  }
  return envelope;
}

class Driver {
 public:
  explicit Driver(std::uint8_t options)
      : session_(
            DeliverySettings{"relay.office.example",
                             (options & 1U) != 0 ? DeliveryTls::starttls : DeliveryTls::implicit,
                             (options & 2U) != 0 ? "user" : "", Secret(std::string_view("p"))}),
        in_clear_((options & 1U) != 0) {
    session_.connected();
  }

  void feed(std::string_view octets) {
    session_.receive(as_bytes(octets));
    drain();
  }

  void end(bool by_timeout) {
    if (by_timeout) session_.timed_out();
    session_.connection_lost("end of the input");
    drain();
    POSTERN_ASSERT(transactions_begun_ == transactions_done_ && ended_);
  }

 private:
  void drain() {
    while (auto action = session_.next_action()) {
      POSTERN_ASSERT(!ended_);  // nothing follows the end
      if (auto* bytes = std::get_if<SendBytes>(&*action)) check_clear(bytes->octets);
      if (std::holds_alternative<StartTlsHandshake>(*action)) {
        in_clear_ = false;
        session_.tls_started();
      }
      // An upstream whose SIZE is too small ends every transaction at once, without a word from it.
      if (std::holds_alternative<ReadyForTransaction>(*action) &&
          transactions_begun_ < transactions_max) {
        session_.begin(envelope(), 42);
        ++transactions_begun_;
      }
      if (std::holds_alternative<SendContent>(*action)) {
        session_.send_content(as_bytes("Subject: x\r\n\r\n.\r\n"));
        session_.end_content();
      }
      if (auto* done = std::get_if<TransactionDone>(&*action)) {
        POSTERN_ASSERT(done->results.size() == recipients);
        ++transactions_done_;
      }
      ended_ = std::holds_alternative<SessionFailed>(*action) ||
               std::holds_alternative<CloseConnection>(*action);
    }
  }

  void check_clear(std::string_view octets) const {
    POSTERN_ASSERT(!in_clear_ || octets == "STARTTLS\r\n" || octets.starts_with("EHLO "));
  }

  DeliverySession session_;
  bool in_clear_;
  bool ended_ = false;
  std::size_t transactions_begun_ = 0;
  std::size_t transactions_done_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Driver driver(data[0]);
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  while (!rest.empty()) {
    const std::size_t length = static_cast<unsigned char>(rest[0]);
    rest.remove_prefix(1);
    const std::string_view piece = rest.substr(0, length);
    rest.remove_prefix(piece.size());
    driver.feed(piece);
  }
  driver.end((data[0] & 4U) != 0);
  return 0;
}
