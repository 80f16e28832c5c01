// A device that submits one message; see parties.hpp.
#include <fmt/format.h>

#include "relay/base/encoding.hpp"
#include "tests/world/parties.hpp"

namespace postern::world {

void Device::begin() {
  wire_->attach(End::client,
                {[self = shared_from_this()](std::string_view octets) { self->receive(octets); },
                 [self = shared_from_this()] { self->step_ = Step::quit; }});
  if (random_.one_in(4)) wire_->break_after(End::client, random_.below(4'000));
  if (random_.one_in(6)) wire_->break_after(End::server, random_.below(600));
}

// Final lines of replies only: "250 …", not "250-…".
void Device::receive(std::string_view octets) {
  unread_ += octets;
  for (std::size_t end = unread_.find("\r\n"); end != std::string::npos;
       end = unread_.find("\r\n")) {
    const std::string line = unread_.substr(0, end);
    unread_.erase(0, end + 2);
    if (line.size() > 3 && line[3] == '-') continue;
    replied(std::atoi(line.c_str()));
  }
}

void Device::choose_content() {
  recipients_ = random_.between(1, 3);
  const std::uint64_t bytes = random_.one_in(12) ? 300'000 : random_.below(3'000);
  std::string body;
  while (body.size() < bytes) {
    body += fmt::format("{}line {}\r\n", random_.one_in(9) ? "." : "", random_.number());
    if (bytes > 10'000) body += std::string(70, 'x') + "\r\n";
  }
  content_ = fmt::format(
      "From: <{}>\r\nSubject: scan\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
      "Message-ID: <{}@copier.office.example>\r\n\r\n{}",
      device_address, random_.number(), body);
  message_ = ledger_.new_message(content_, recipients_);
}

void Device::rcpt_or_data() {
  if (asked_ < recipients_) {
    step_ = Step::rcpt;
    say(fmt::format("RCPT TO:<{}>", Ledger::address(message_, asked_)));
  } else if (accepted_.empty()) {
    step_ = Step::quit;
    say("QUIT");
  } else {
    step_ = Step::data;
    say("DATA");
  }
}

void Device::replied(int code) {
  switch (step_) {
    case Step::greeting:
      step_ = Step::ehlo;
      say("EHLO copier.office.example");
      return;
    case Step::ehlo:
      if (!tls_) {
        tls_ = true;  // the answer to STARTTLS, then EHLO again
        step_ = Step::greeting;
        say("STARTTLS");
        return;
      }
      step_ = Step::login;
      say("AUTH PLAIN " + encode_base64(as_bytes(std::string(1, '\0') + std::string(device_user) +
                                                 '\0' + std::string(device_password))));
      return;
    case Step::login:
      choose_content();
      step_ = Step::mail;
      // Not every device keeps to what it may send as.
      say(fmt::format("MAIL FROM:<{}>",
                      random_.one_in(15) ? "boss@office.example" : device_address));
      return;
    case Step::mail:
      if (code != 250) {
        for (std::size_t at = 0; at < recipients_; ++at) {
          ledger_.answered(message_, at, Ledger::Answer::refused);
        }
        step_ = Step::quit;
        say("QUIT");
        return;
      }
      rcpt_or_data();
      return;
    case Step::rcpt:
      if (code == 250) {
        accepted_.push_back(asked_);
      } else {
        ledger_.answered(message_, asked_, Ledger::Answer::refused);
      }
      ++asked_;
      rcpt_or_data();
      return;
    case Step::data: {
      if (code != 354) return;
      step_ = Step::dot;
      std::string stuffed = "\r\n" + content_;
      for (std::size_t at = stuffed.find("\r\n."); at != std::string::npos;
           at = stuffed.find("\r\n.", at + 4)) {
        stuffed.insert(at + 2, ".");
      }
      wire_->send(End::client, stuffed.substr(2) + ".\r\n");
      return;
    }
    case Step::dot:
      for (const std::size_t at : accepted_) {
        ledger_.answered(message_, at,
                         code == 250 ? Ledger::Answer::promised : Ledger::Answer::refused);
      }
      step_ = Step::quit;
      say("QUIT");
      return;
    case Step::quit:
      return;
  }
}

}  // namespace postern::world
