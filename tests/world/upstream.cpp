// The upstream of the world; see parties.hpp.
#include "tests/world/parties.hpp"

namespace postern::world {

WireHandle Upstream::connect() {
  auto wire = network_.make_wire();
  auto session = std::make_shared<Session>();
  session->wire = wire;
  wire->attach(End::server,
               {[this, session](std::string_view octets) { receive(*session, octets); }, {}});
  if (moody_ && random_.one_in(5)) wire->break_after(End::client, random_.below(5'000));
  if (moody_ && random_.one_in(8)) wire->break_after(End::server, random_.below(500));
  answer(*session, "220 upstream.example ESMTP");
  return wire;
}

void Upstream::receive(Session& session, std::string_view octets) {
  session.unread += octets;
  std::size_t begin = 0;
  for (std::size_t end = session.unread.find("\r\n"); end != std::string::npos;
       end = session.unread.find("\r\n", begin)) {
    const std::string line = session.unread.substr(begin, end - begin);
    begin = end + 2;
    if (session.silent) continue;
    session.in_content ? content_line(session, line) : command(session, line);
  }
  session.unread.erase(0, begin);
}

Upstream::Mood Upstream::choose_mood(const Session& session) {
  if (!moody_ || !random_.one_in(14)) return Mood::polite;
  const auto mood = static_cast<Mood>(random_.between(1, 5));
  return mood == Mood::refuse && session.for_owner ? Mood::defer : mood;
}

bool Upstream::answer(Session& session, const std::string& polite) {
  switch (choose_mood(session)) {
    case Mood::polite:
      say(session, polite);
      return true;
    case Mood::defer:
      say(session, "451 4.7.1 later");
      return false;
    case Mood::refuse:
      say(session, "550 5.1.1 no");
      return false;
    case Mood::silent:
      session.silent = true;
      return false;
    case Mood::nonsense:
      say(session, "*** I DO NOT FEEL WELL ***");
      return false;
    case Mood::hang_up:
      session.silent = true;
      session.wire->cut();
      return false;
  }
  return false;
}

void Upstream::command(Session& session, const std::string& line) {
  const auto begins = [&line](std::string_view verb) { return line.starts_with(verb); };
  if (begins("EHLO")) {
    const std::string more = session.tls ? "250-AUTH PLAIN\r\n" : "250-STARTTLS\r\n";
    const std::string pipelining = random_.one_in(2) ? "250-PIPELINING\r\n" : "";
    answer(session, "250-upstream.example\r\n" + more + pipelining + "250 8BITMIME");
  } else if (begins("STARTTLS")) {
    if (answer(session, "220 2.0.0 go")) session.tls = true;
  } else if (begins("AUTH")) {
    session.logged_in = answer(session, "235 2.7.0 welcome");
  } else if (begins("MAIL")) {
    if (!session.tls || !session.logged_in) ledger_.complain("MAIL before TLS and AUTH: " + line);
    session.recipients.clear();
    session.for_owner = begins("MAIL FROM:<>");
    session.mail_accepted = answer(session, "250 2.1.0 ok");
  } else if (begins("RCPT TO:<")) {
    const std::string address = line.substr(9, line.find('>') - 9);
    if (!session.mail_accepted) {
      say(session, "503 5.5.1 MAIL first");
    } else if (answer(session, "250 2.1.5 ok")) {
      session.recipients.push_back(address);
    }
  } else if (begins("DATA")) {
    if (session.recipients.empty()) {
      say(session, "503 5.5.1 RCPT first");
    } else if (answer(session, "354 go on")) {
      session.in_content = true;
      session.content.clear();
    }
  } else if (begins("QUIT")) {
    say(session, "221 2.0.0 bye");
    session.wire->close(End::server);
  } else {
    say(session, begins("RSET") ? "250 2.0.0 ok" : "502 5.5.1 not here");
  }
}

void Upstream::content_line(Session& session, const std::string& line) {
  if (line != ".") {
    session.content += (line.starts_with('.') ? line.substr(1) : line) + "\r\n";
    return;
  }
  session.in_content = false;
  finish(session);
}

// Taken: the 250 is on its way, and whether it arrives is another matter.
void Upstream::finish(Session& session) {
  if (answer(session, "250 2.0.0 taken")) {
    ledger_.arrived(session.recipients, session.content, session.wire, relay_lives_);
  }
  session.recipients.clear();
  session.mail_accepted = false;
}

}  // namespace postern::world
