// The sentences of delivery reports. Promise: see report_words.hpp.
#include "relay/message/report_words.hpp"

#include <array>

namespace postern::message {
namespace {

struct Entry {
  std::string_view code;  // subject and detail; "1." stands for every detail of subject 1
  StatusWords words;
};

// Exact codes first, then whole subjects: the first that fits is taken.
constexpr std::array<Entry, 19> failed_words{{
    {"1.1",
     {"The receiving side does not know this address.",
      "Check the address for a typing mistake and send again. If it is stored in the address book "
      "of a device, correct it there too."}},
    {"1.10",
     {"The domain of this address takes no mail.", "Check the part of the address after the @."}},
    {"1.2",
     {"The domain of this address does not exist, or cannot be found.",
      "Check the part of the address after the @ for a typing mistake."}},
    {"1.8",
     {"The receiving side does not accept the sender's address.",
      "Set a sender address that really exists in the device or program that sent this."}},
    {"1.", {"There is something wrong with this address.", "Check the address and send again."}},
    {"2.1",
     {"The mailbox is there but takes no mail at present.",
      "Tell the recipient in another way, by telephone for instance."}},
    {"2.2",
     {"The recipient's mailbox is full.",
      "Ask the recipient to make room, and send again afterwards."}},
    {"2.3",
     {"The mail is larger than the recipient may receive.",
      "Send it in smaller parts, or scan with a lower resolution."}},
    {"3.4",
     {"The mail is too large for the next mail server.",
      "Send it in smaller parts, or scan with a lower resolution."}},
    {"4.6",
     {"The mail was going round in a circle between mail servers.",
      "This is a mistake in the setup of a mail server; the person to ask is named below."}},
    {"4.7",
     {"The mail could not be handed on before its time was over.",
      "Send it again if it still matters. If that fails too, the person to ask is named below."}},
    {"4.",
     {"The next mail server could not be reached.",
      "Send it again later. If that fails too, the person to ask is named below."}},
    {"6.7",
     {"The next mail server does not support international addresses.",
      "Use an address without accents and other special letters if the recipient has one."}},
    {"6.",
     {"The receiving side cannot work with this kind of content.", "Send it in another format."}},
    {"7.1",
     {"The receiving side's rules do not allow this mail.",
      "Ask the recipient, or the person named below, whether mail from you can be allowed."}},
    {"7.30",
     {"The mail must only travel encrypted, and that is not possible for the whole way.",
      "Send it without that requirement if it is not confidential."}},
    {"7.8",
     {"The next mail server did not accept our user name and password.",
      "You can do nothing about this yourself; the person to ask is named below."}},
    {"7.",
     {"The receiving side refused the mail for security or policy reasons.",
      "The technical reason is given below; the person to ask is named there too."}},
    {"",
     {"The receiving side refused the mail.",
      "The technical reason is given below; the person to ask is named there too."}},
}};

}  // namespace

StatusWords words_for(ReportAction action, std::string_view status) {
  if (action == ReportAction::delayed) {
    return {"The mail could not be handed on yet. It is kept safe and is tried again.",
            "You need to do nothing. Do not send it again, or it may arrive twice."};
  }
  if (action == ReportAction::relayed) {
    return {"The next mail server took the mail. That server does not confirm arrival.",
            "You need to do nothing."};
  }
  if (action == ReportAction::damaged) {
    return {"The relay cannot read the mail any more: its own copy is damaged or gone.",
            "Send it again. What is left of it is kept for the person named below."};
  }
  const std::string_view code = status.size() > 2 ? status.substr(2) : std::string_view();
  if (action == ReportAction::expired && !code.starts_with("2.2")) {
    return {
        "The mail was tried again and again, and its time is now over. It is not tried any "
        "more.",
        "Send it again if it still matters. If that fails too, the person to ask is named "
        "below."};
  }
  for (const Entry& entry : failed_words) {
    const bool whole_subject = entry.code.empty() || entry.code.ends_with('.');
    if (whole_subject ? code.starts_with(entry.code) : code == entry.code) return entry.words;
  }
  return failed_words.back().words;
}

}  // namespace postern::message
