// What a configuration names outside of its text.
#include "relay/config/belongings.hpp"

#include <gtest/gtest.h>

namespace postern::config {
namespace {

TEST(Belongings, AreFoundWithTheirPlacesAlsoInABrokenConfiguration) {
  const auto found = read_belongings(R"([server]
hostname = "Relay.Office.Example"
state_directory = "state"
nonsense = 1
[tls]
certificate_file = "tls/relay.crt"
private_key_file = "/etc/postern/tls/relay.key"
[[dkim]]
domain = "office.example"
selector = "p2026a"
private_key_file = "dkim/a.pem"
[[upstream]]
host = "smtp.provider.example"
username = "relay@office.example"
password_file = "secrets/provider"
)",
                                     "/etc/postern/postern.toml");
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->hostname, "relay.office.example");
  EXPECT_EQ(found->state_directory, "/etc/postern/state");
  ASSERT_EQ(found->files.size(), 4);
  EXPECT_EQ(found->files[1].path, "/etc/postern/tls/relay.key");
  EXPECT_EQ(found->files[2].path, "/etc/postern/dkim/a.pem");
  EXPECT_EQ(found->files[2].place.line, 11);
  ASSERT_EQ(found->signing_names.size(), 1);
  EXPECT_EQ(found->signing_names[0].selector, "p2026a");
  ASSERT_EQ(found->logins.size(), 1);
  EXPECT_EQ(found->logins[0].host, "smtp.provider.example");
}

TEST(Belongings, OfNoTomlAreNone) { EXPECT_FALSE(read_belongings("[server", "postern.toml")); }

}  // namespace
}  // namespace postern::config
