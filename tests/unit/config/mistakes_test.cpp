// Each section's mistakes: what one changed line of a good configuration is told as.
#include <gtest/gtest.h>

#include "tests/unit/config/config_support.hpp"

namespace postern::config {
namespace {

struct Mistake {
  std::string_view what;
  std::string_view with;
  std::string_view told;  // must be part of the problems
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.with; }

class Mistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, IsToldWithItsPlace) {
  const LoadResult result = load(replaced(good_text(), GetParam().what, GetParam().with));
  EXPECT_FALSE(result.configuration);
  const std::string told = problems_text(result);
  EXPECT_NE(told.find(GetParam().told), std::string::npos)
      << "told: " << told << "not: " << GetParam().told;
  EXPECT_EQ(result.problems.size(), 1U) << told;
}

INSTANTIATE_TEST_SUITE_P(
    OfServer, Mistakes,
    ::testing::Values(
        Mistake{"hostname = \"relay.office.example\"", "hostname = \"relay\"",
                "etc/postern.toml:2:12: hostname is \"relay\"; allowed is a fully qualified name"},
        Mistake{"hostname = \"relay.office.example\"", "hostname = \"10.0.0.1\"", "hostname is"},
        Mistake{"hostname = \"relay.office.example\"\n", "", "1:1: [server] lacks hostname"},
        Mistake{"hostname = \"relay.office.example\"", "hostname = 7",
                "2:12: hostname in [server] is a whole number; allowed is a text in quotes"},
        Mistake{"hostname = \"relay.office.example\"", "hostname = \"\"", "hostname is empty"},
        Mistake{"postmaster = \"it@office.example\"", "postmaster = \"it\"",
                "postmaster is \"it\"; allowed is one address"},
        Mistake{"postmaster = \"it@office.example\"",
                "postmaster = \"it@office.example\"\nreceived_shows_user = \"no\"",
                "received_shows_user in [server] is a text; allowed is true or false"},
        Mistake{
            "state_directory = ", "state_directry = ",
            "3:1: \"state_directry\" in [server] is not known; did you mean \"state_directory\"?"},
        Mistake{"control_socket = \"/run/postern/control\"",
                "control_socket = "
                "\"/run/postern/"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
                "has room for 107"},
        Mistake{"[[listener]]\naddress = \"[::]:465\"\ntls = \"implicit\"\n", "",
                "there is no [[listener]]"},
        Mistake{"address = \"[::]:465\"", "address = \"relay:465\"",
                "7:11: address is \"relay:465\"; allowed is an IP address"},
        Mistake{"tls = \"implicit\"", "tls = \"none\"",
                "tls is \"none\"; allowed are \"implicit\", \"starttls\""},
        Mistake{"tls = \"implicit\"\n", "", "[[listener]] lacks tls"},
        Mistake{"[[listener]]\n",
                "[[listener]]\naddress = \"[::]:465\"\ntls = \"starttls\"\n[[listener]]\n",
                "is taken already by the [[listener]] at etc/postern.toml:7"}));

INSTANTIATE_TEST_SUITE_P(
    OfTls, Mistakes,
    ::testing::Values(
        Mistake{"tls/relay.crt", "tls/none.crt",
                "10:20: certificate_file cannot be used: open etc/tls/none.crt: no such file"},
        Mistake{"tls/relay.key", "tls/none.key", "11:20: private_key_file cannot be used"},
        Mistake{"tls/relay.crt", "tls/relay.key", "10:20: certificate_file cannot be used"},
        Mistake{"tls/relay.key", "tls/relay.crt", "11:20: private_key_file cannot be used"},
        Mistake{"tls/relay.key", "tls/other.key", "11:20: private_key_file cannot be used"},
        Mistake{"version_min = \"1.2\"", "version_min = \"1.1\"",
                "version_min is \"1.1\"; allowed are \"1.2\", \"1.3\""},
        Mistake{"version_min = \"1.2\"", "version_min = 1.2",
                "version_min in [tls] is a number with a fraction"},
        Mistake{"[tls]\ncertificate_file = \"tls/relay.crt\"\nprivate_key_file = "
                "\"tls/relay.key\"\nversion_min = \"1.2\"\n",
                "", "1:1: [tls] names no certificate_file"}));

INSTANTIATE_TEST_SUITE_P(
    OfLimitsAndQueue, Mistakes,
    ::testing::Values(
        Mistake{"recipients_max = 100", "recipients_max = 0",
                "14:18: recipients_max is 0; allowed are 100 to 10000"},
        Mistake{"recipients_max = 100", "recipients_max = -5", "recipients_max is -5"},
        Mistake{"recipients_max = 100", "recipients_max = \"many\"",
                "recipients_max in [limits] is a text"},
        Mistake{"recipients_max = 100", "message_bytes_max = 1",
                "message_bytes_max is 1; allowed are 65536 to 1073741824"},
        Mistake{"recipients_max = 100", "connections_max = 0", "connections_max is 0"},
        Mistake{"recipients_max = 100", "connections_per_address_max = 0",
                "connections_per_address_max is 0"},
        Mistake{"recipients_max = 100", "auth_failures_max = 0", "auth_failures_max is 0"},
        Mistake{"recipients_max = 100", "queue_bytes_max = 2_000_000",
                "14:19: queue_bytes_max (2000000) is less than message_bytes_max"},
        Mistake{"idle_timeout = \"5m\"", "idle_timeout = \"5 minutes\"",
                "15:16: idle_timeout is \"5 minutes\"; allowed is a number with a unit"},
        Mistake{"idle_timeout = \"5m\"", "idle_timeout = \"2h\"",
                "idle_timeout is \"2h\"; allowed are 5m to 1h"},
        Mistake{"idle_timeout = \"5m\"", "idle_timeout = 300",
                "idle_timeout in [limits] is a whole number"},
        Mistake{"retry_delay_min = \"1m\"", "retry_delay_min = \"5h\"",
                "17:19: retry_delay_min (5h) is longer than retry_delay_max (4h)"},
        Mistake{"retry_delay_min = \"1m\"", "lifetime_max = \"40d\"",
                "lifetime_max is \"40d\"; allowed are 1s to 30d"},
        Mistake{"retry_delay_min = \"1m\"", "delay_notice_after = \"6d\"",
                "17:22: delay_notice_after (6d) is longer than lifetime_max (5d)"},
        Mistake{"[queue]", "[queues]", "16:2: \"queues\" is not known; did you mean \"queue\"?"}));

INSTANTIATE_TEST_SUITE_P(
    OfUsersAndKeys, Mistakes,
    ::testing::Values(
        Mistake{"name = \"copier-2\"\n", "", "[[user]] lacks name"},
        Mistake{"name = \"copier-2\"", "name = \"*\"", "name is \"*\""},
        Mistake{"senders = [\"scan@office.example\"]\n", "",
                "[[user]] lacks senders (\"*\" allows every address)"},
        Mistake{"senders = [\"scan@office.example\"]", "senders = []", "senders is an empty list"},
        Mistake{"senders = [\"scan@office.example\"]", "senders = \"*\"",
                "senders in [[user]] is a text; allowed is a list"},
        Mistake{"senders = [\"scan@office.example\"]",
                "senders = [\"*\", \"sc*an@office.example\"]", "21:17: senders holds"},
        Mistake{"senders = [\"scan@office.example\"]", "senders = [\"*\", 5]",
                "21:17: senders in [[user]] is a whole number"},
        Mistake{"recipients = [\"*\"]\n", "", "[[user]] lacks recipients"},
        Mistake{"192.168.10.0/24", "192.168.10.7/24", "addresses holds \"192.168.10.7/24\""},
        Mistake{"owner = \"it@office.example\"", "owner = \"nobody\"", "owner is \"nobody\""},
        Mistake{"messages_per_minute_max = 30", "messages_per_minute_max = 0",
                "messages_per_minute_max is 0"},
        Mistake{"messages_per_minute_max = 30", "recipients_per_day_max = 0",
                "recipients_per_day_max is 0"},
        Mistake{"messages_per_minute_max = 30", "bytes_per_day_max = 0", "bytes_per_day_max is 0"},
        Mistake{"bare_newline = \"reject\"", "bare_newline = \"fix\"",
                "bare_newline is \"fix\"; allowed are \"reject\", \"normalize\""},
        Mistake{"[[user]]", "[user]",
                "user is a table; allowed is any number of sections [[user]]"},
        Mistake{"domain = \"office.example\"", "domain = \"office\"",
                "28:10: domain is \"office\""},
        Mistake{"selector = \"p2026a\"", "selector = \"p 2026\"", "selector is \"p 2026\""},
        Mistake{"dkim/rsa.pem", "tls/relay.crt", "30:20: private_key_file cannot be used"},
        Mistake{"dkim/rsa.pem", "dkim/none.pem", "no such file"},
        Mistake{"[[dkim]]",
                "[[dkim]]\ndomain = \"OFFICE.example\"\nselector = \"p2026A\"\nprivate_key_file = "
                "\"dkim/ed25519.pem\"\n[[dkim]]",
                "is there already, at etc/postern.toml:27; each key needs its own selector"}));

INSTANTIATE_TEST_SUITE_P(
    OfUpstreamsAndRoutes, Mistakes,
    ::testing::Values(
        Mistake{"host = \"smtp.provider.example\"", "host = \"smtp provider\"",
                "33:8: host is \"smtp provider\""},
        Mistake{"host = \"smtp.provider.example\"\n", "", "[[upstream]] lacks host"},
        Mistake{"port = 587", "port = 65_536", "port is 65536; allowed are 1 to 65535"},
        Mistake{"tls = \"starttls\"", "tls = \"optional\"", "tls is \"optional\""},
        Mistake{"tls = \"starttls\"\n", "", "[[upstream]] lacks tls"},
        Mistake{"tls/ca.pem", "tls/none.pem", "36:11: ca_file cannot be used"},
        Mistake{"tls/ca.pem", "secrets/provider", "36:11: ca_file cannot be used"},
        Mistake{"ca_file = \"tls/ca.pem\"\n", "",
                "the system's roots (package ca-certificates) cannot be used"},
        Mistake{"password_file = \"secrets/provider\"\n", "",
                "username stands without password_file"},
        Mistake{"username = \"relay@office.example\"\n", "",
                "password_file stands without username"},
        Mistake{"secrets/provider", "secrets/empty",
                "38:17: password_file holds no password in its first line"},
        Mistake{"secrets/provider", "secrets/none", "password_file cannot be used"},
        Mistake{"connections_max = 4", "connections_max = 101",
                "connections_max is 101; allowed are 1 to 100"},
        Mistake{"[[route]]", "[[route]]\nusers = [\"copier-3\"]",
                "users names \"copier-3\", and there is no [[user]] of that name; did you mean "
                "\"copier-2\"?"},
        Mistake{"upstreams = [\"provider\"]", "upstreams = [\"provder\"]",
                "41:14: upstreams names \"provder\", and there is no [[upstream]] of that name; "
                "did you mean \"provider\"?"},
        Mistake{"upstreams = [\"provider\"]", "upstreams = [\"provider\", \"provider\"]",
                "upstreams names \"provider\" twice"},
        Mistake{"upstreams = [\"provider\"]", "", "[[route]] lacks upstreams"},
        Mistake{"[[route]]", "[[route]]\nrecipients = [\"@x\"]", "recipients holds \"@x\""},
        Mistake{"[[route]]", "[[route]]\nsenders = [\"a*@b.example\"]", "senders holds"}));

}  // namespace
}  // namespace postern::config
