// Command lines: verbs, MAIL and RCPT with their parameters.
#include "relay/smtp/command.hpp"

#include <gtest/gtest.h>

#include "relay/smtp/command_line_reader.hpp"
#include "relay/smtp/envelope_parameters.hpp"

namespace postern::smtp {
namespace {

using namespace std::string_view_literals;

// "503 5.5.1" of the refusal, or "ok".
template <class T>
std::string outcome(const ParsedOrReply<T>& parsed) {
  return parsed ? "ok"
                : std::to_string(parsed.error().code) + " " + parsed.error().enhanced->text();
}
std::string mail(std::string_view arguments) { return outcome(parse_mail_arguments(arguments)); }
std::string rcpt(std::string_view arguments) { return outcome(parse_rcpt_arguments(arguments)); }
bool is_fault(std::string_view line) {
  return std::holds_alternative<CommandFault>(parse_command(line).arguments);
}

TEST(Command, VerbsAreRecognisedInAnyCase) {
  EXPECT_EQ(recognise_verb("eHlO x"), Verb::ehlo);
  EXPECT_EQ(recognise_verb("StartTls"), Verb::starttls);
  EXPECT_EQ(recognise_verb("mail\tFROM:<>"), Verb::mail);
  EXPECT_EQ(recognise_verb("BDAT 5 LAST"), Verb::bdat);
  for (const auto line :
       {"GET / HTTP/1.1", "post /", "CONNECT x:25", "PRI * HTTP/2.0", "OPTIONS *"}) {
    EXPECT_EQ(recognise_verb(line), Verb::http) << line;
  }
  for (const std::string_view line :
       {""sv, " EHLO x"sv, "MAILFROM:<>"sv, "http"sv, "unknown"sv, "DATA."sv, "QUIT\0"sv}) {
    EXPECT_EQ(recognise_verb(line), Verb::unknown) << line;
  }
}

TEST(Command, AGreetingNameCanDoNoHarmInAReceivedField) {
  const auto command = parse_command("EHLO [IPv6:2001:db8::1] ");
  EXPECT_EQ(std::get<GreetingCommand>(command.arguments).client_name, "[IPv6:2001:db8::1]");
  EXPECT_FALSE(is_fault("HELO PRINTER_3.local"));
  for (const auto line : {"EHLO", "EHLO ", "HELO a b", "EHLO a(b)", "EHLO <x>", "EHLO a\"b",
                          "EHLO a;b", "EHLO \xC3\xA4",
                          "EHLO a\x01"
                          "b"}) {
    EXPECT_TRUE(is_fault(line)) << line;
  }
  EXPECT_FALSE(is_fault("EHLO " + std::string(255, 'a')));
  EXPECT_TRUE(is_fault("EHLO " + std::string(256, 'a')));
}

TEST(Command, AuthTakesMechanismAndInitialResponse) {  // RFC 4954 §4
  const auto command = parse_command("AUTH plain  AGEAYg==");
  const auto& auth = std::get<AuthCommand>(command.arguments);
  EXPECT_EQ(auth.mechanism, "PLAIN");
  EXPECT_EQ(auth.initial_response, "AGEAYg==");
  EXPECT_FALSE(std::get<AuthCommand>(parse_command("AUTH LOGIN ").arguments).initial_response);
  EXPECT_TRUE(is_fault("AUTH"));
  EXPECT_TRUE(is_fault("AUTH " + std::string(21, 'X')));
}

TEST(Command, ArgumentsWhereNoneBelongAreRefused) {
  EXPECT_TRUE(is_fault("DATA now"));
  EXPECT_TRUE(is_fault("RSET x"));
  EXPECT_TRUE(is_fault("STARTTLS x"));
  EXPECT_FALSE(is_fault("DATA "));
  EXPECT_FALSE(is_fault("NOOP anything"));
  EXPECT_FALSE(is_fault("QUIT now"));
}

TEST(MailArguments, AllParametersTogether) {
  const auto sender = parse_mail_arguments(
      "FROM:<Scan@Office.example> SIZE=1234 body=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb+20c "
      "REQUIRETLS "
      "AUTH=<>");
  ASSERT_TRUE(sender) << sender.error().text();
  EXPECT_EQ(sender->reverse_path.text(), "Scan@office.example");
  EXPECT_EQ(sender->declared_bytes, 1234U);
  EXPECT_EQ(sender->body, BodyType::eight_bit_mime);
  EXPECT_TRUE(sender->smtputf8);
  EXPECT_TRUE(sender->require_tls);
  EXPECT_EQ(sender->dsn_return, DsnReturn::headers);
  EXPECT_EQ(sender->envelope_id, "a+b c");
}

TEST(MailArguments, ThePathInItsForms) {
  EXPECT_TRUE(parse_mail_arguments("from:<>")->reverse_path.is_null());
  EXPECT_EQ(parse_mail_arguments("FROM: <a@b>")->reverse_path.text(), "a@b");
  EXPECT_EQ(parse_mail_arguments("FROM:<\"a>b\"@c> SIZE=1")->reverse_path.text(), "\"a>b\"@c");
  // RFC 5321 §4.1.1.3: a source route is read and dropped.
  EXPECT_EQ(parse_mail_arguments("FROM:<@one.example,@two.example:a@b>")->reverse_path.text(),
            "a@b");
  for (const auto arguments : {"FROM:<@one:>", "FROM:<@one,two:a@b>", "FROM:<@:a@b>", "FROM:a@b",
                               "FROM:<a@b", "FROM:", "FROM:<a>", "FROM:<a@b@c>"}) {
    EXPECT_EQ(mail(arguments), "501 5.1.7") << arguments;
  }
  for (const auto arguments :
       {"", "TO:<a@b>", "<a@b>", "FROM <a@b>", "FROM:<a@b>SIZE=1", "FROM:<a@b>>"}) {
    EXPECT_EQ(mail(arguments), "501 5.5.4") << arguments;
  }
}

TEST(MailArguments, SizeOfRfc1870) {
  EXPECT_EQ(parse_mail_arguments("FROM:<> SIZE=0")->declared_bytes, 0U);
  EXPECT_EQ(parse_mail_arguments("FROM:<> SIZE=99999999999999999999")->declared_bytes,
            ~std::uint64_t{0});
  for (const auto arguments :
       {"FROM:<> SIZE", "FROM:<> SIZE=", "FROM:<> SIZE=-1", "FROM:<> SIZE=1k",
        "FROM:<> SIZE=999999999999999999999", "FROM:<> SIZE=1 size=2"}) {
    EXPECT_EQ(mail(arguments), "501 5.5.4") << arguments;
  }
}

TEST(MailArguments, WrongValuesAndUnknownParametersAreRefused) {
  for (const auto arguments :
       {"FROM:<> BODY=BINARYMIME", "FROM:<> BODY", "FROM:<> SMTPUTF8=1", "FROM:<> RET=ALL",
        "FROM:<> RET", "FROM:<> REQUIRETLS=YES", "FROM:<> ENVID=a+0D+0Ab", "FROM:<> ENVID=+4",
        "FROM:<> ENVID=+C3+A4", "FROM:<> ENVID=a=b", "FROM:<> AUTH=x", "FROM:<> AUTH"}) {
    EXPECT_EQ(mail(arguments), "501 5.5.4") << arguments;
  }
  EXPECT_EQ(mail("FROM:<> ENVID=" + std::string(100, 'e')), "ok");
  EXPECT_EQ(mail("FROM:<> ENVID=" + std::string(101, 'e')), "501 5.5.4");
  EXPECT_EQ(mail("FROM:<> AUTH=anna+40far.example"), "ok");
  EXPECT_EQ(mail("FROM:<> HOLDFOR=5"), "555 5.5.4");  // RFC 5321 §4.1.1.11
  EXPECT_EQ(mail("FROM:<> ="), "555 5.5.4");
}

TEST(MailArguments, AnAddressBeyondAsciiWantsSmtputf8) {  // RFC 6531 §3.5
  EXPECT_EQ(mail("FROM:<j\xC3\xB6rg@x.example>"), "553 5.6.7");
  EXPECT_EQ(mail("FROM:<j\xC3\xB6rg@x.example> SMTPUTF8"), "ok");
}

TEST(RcptArguments, NotifyAndOrcptOfRfc3461) {
  const auto recipient = parse_rcpt_arguments(
      "TO:<anna@far.example> NOTIFY=success,DELAY ORCPT=rfc822;anna+2Bx@far.example");
  ASSERT_TRUE(recipient) << recipient.error().text();
  EXPECT_EQ(recipient->notify, (NotifyWishes{.given = true, .success = true, .delay = true}));
  EXPECT_EQ(recipient->original_recipient, "rfc822;anna+x@far.example");
  EXPECT_TRUE(parse_rcpt_arguments("TO:<a@b> NOTIFY=NEVER")->notify.never);
  EXPECT_FALSE(parse_rcpt_arguments("TO:<a@b>")->notify.given);
  EXPECT_EQ(rcpt("TO:<a@b> ORCPT=utf-8;j\xC3\xB6rg@far.example"), "ok");  // RFC 6533 §3
  for (const auto arguments :
       {"TO:<a@b> NOTIFY=", "TO:<a@b> NOTIFY=NEVER,SUCCESS", "TO:<a@b> NOTIFY=ALWAYS",
        "TO:<a@b> NOTIFY", "TO:<a@b> NOTIFY=SUCCESS,", "TO:<a@b> ORCPT=anna", "TO:<a@b> ORCPT=;x",
        "TO:<a@b> ORCPT=rfc822;", "TO:<a@b> ORCPT=rfc822;a+0D+0ABcc:x", "TO:<a@b> ORCPT=rfc822;+ff",
        "TO:<a@b> ORCPT=rfc822;+FF", "TO:<a@b> ORCPT=utf-8;a+C2+9Bb",
        "TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "TO:<a@b>NOTIFY=NEVER"}) {
    EXPECT_EQ(rcpt(arguments), "501 5.5.4") << arguments;
  }
  EXPECT_EQ(rcpt("TO:<a@b> ORCPT=rfc822;" + std::string(493, 'a')), "ok");
  EXPECT_EQ(rcpt("TO:<a@b> ORCPT=rfc822;" + std::string(494, 'a')), "501 5.5.4");
  EXPECT_EQ(rcpt("TO:<a@b> SIZE=1"), "555 5.5.4");
}

TEST(RcptArguments, OnlyMailboxesWithADomainAreRelayedTo) {
  EXPECT_EQ(rcpt("TO:<a@[192.0.2.1]>"), "550 5.1.2");
  EXPECT_EQ(rcpt("TO:<PostMaster>"), "550 5.1.1");
  EXPECT_EQ(rcpt("TO:<postmaster@far.example>"), "ok");
  EXPECT_EQ(rcpt("TO:<>"), "501 5.1.3");
  EXPECT_EQ(rcpt("TO:<anna>"), "501 5.1.3");
  EXPECT_EQ(rcpt("TO:anna@far.example"), "501 5.1.3");
  EXPECT_EQ(rcpt("FROM:<a@b>"), "501 5.5.4");
  EXPECT_EQ(parse_rcpt_arguments("TO:<@hop.example:a@b>")->mailbox.text(), "a@b");
}

TEST(Xtext, OfRfc3461Section4) {
  EXPECT_EQ(decode_xtext("a+2Bb+3D+20"), "a+b= ");
  EXPECT_EQ(decode_xtext(""), "");
  for (const auto text : {"+", "+2", "+2b", "+GG", "a b", "a=b", "a\tb", "\x7f"}) {
    EXPECT_FALSE(decode_xtext(text)) << text;
  }
}

// --- Lines. ---

using Status = CommandLineReader::Status;

// Reads one line, in pieces of `piece` octets; what it was, and how much was consumed.
std::pair<Status, std::size_t> read(CommandLineReader& reader, std::string_view octets,
                                    std::size_t piece, bool in_exchange = false) {
  std::size_t consumed = 0;
  while (consumed < octets.size()) {
    std::string_view input = octets.substr(consumed, piece);
    const std::size_t given = input.size();
    const Status status = reader.read(input, in_exchange);
    consumed += given - input.size();
    if (status != Status::need_more) return {status, consumed};
  }
  return {Status::need_more, consumed};
}

TEST(CommandLineReader, LimitsDoNotDependOnHowTheOctetsCome) {
  struct Case {
    std::string_view begin;
    std::size_t line_bytes;  // with CRLF
    bool in_exchange;
    Status status;
  };
  for (const Case& c : {Case{"MAIL ", command_line_bytes_max, false, Status::line},
                        Case{"MAIL ", command_line_bytes_max + 1, false, Status::too_long},
                        Case{"AUTH ", auth_line_bytes_max, false, Status::line},
                        Case{"auth ", auth_line_bytes_max + 1, false, Status::too_long},
                        Case{"AUTHX", command_line_bytes_max + 1, false, Status::too_long},
                        Case{"", auth_line_bytes_max, true, Status::line},
                        Case{"", auth_line_bytes_max + 1, true, Status::too_long},
                        Case{"", 1'000'000, true, Status::too_long}}) {
    std::string octets(c.begin);
    octets.resize(c.line_bytes - 2, 'x');
    octets += "\r\n";
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{7}, std::size_t{4096}, octets.size()}) {
      CommandLineReader reader;
      const auto [status, consumed] = read(reader, octets + "QUIT", piece, c.in_exchange);
      EXPECT_EQ(status, c.status) << c.begin << c.line_bytes << " in pieces of " << piece;
      EXPECT_EQ(consumed, octets.size());
      EXPECT_LE(reader.line().size(), auth_line_bytes_max);
      if (status == Status::line) {
        EXPECT_EQ(reader.line().size(), c.line_bytes - 2);
      }
      reader.clear();
      EXPECT_TRUE(reader.empty());
    }
  }
}

TEST(CommandLineReader, OnlyCrLfEndsALine) {  // RFC 5321 §2.3.8
  for (const auto octets : {"QUIT\n"sv, "QUIT\rX"sv, "QUIT\r\r\n"sv, "\n"sv, "NOOP \n\r\n"sv}) {
    for (const std::size_t piece : {std::size_t{1}, octets.size()}) {
      CommandLineReader reader;
      EXPECT_EQ(read(reader, octets, piece).first, Status::bare_newline) << octets;
    }
  }
  CommandLineReader reader;
  EXPECT_EQ(read(reader, std::string(100'000, 'x') + "\n", 100).first, Status::bare_newline);
}

}  // namespace
}  // namespace postern::smtp
