// The promised configuration, loaded from a disk with real keys: every key of it, and its values.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/unit/config/config_support.hpp"

namespace postern::config {
namespace {

class Reference : public ::testing::Test {
 protected:
  Reference() {
    const TestKeys& keys = test_keys();
    directory_.write("postern.toml", reference_text(), 0640);
    directory_.write("tls/relay.crt", keys.certificate, 0644);
    directory_.write("tls/relay.key", keys.private_key, 0600);
    directory_.write("tls/provider-ca.pem", keys.roots, 0644);
    directory_.write("dkim/office.example.rsa.pem", keys.rsa_pem, 0600);
    directory_.write("dkim/office.example.ed25519.pem", keys.ed25519_pem, 0600);
    directory_.write("secrets/provider", "upstream-password\n", 0600);
  }
  [[nodiscard]] std::string path() const { return directory_.path() + "/postern.toml"; }
  TemporaryDirectory directory_;
};

TEST_F(Reference, LoadsWithEveryValueAsWritten) {
  const LoadResult result = load_configuration(path());
  ASSERT_TRUE(result.configuration) << problems_text(result);
  const Configuration& got = *result.configuration;
  EXPECT_EQ(got.hostname, "relay.office.example");
  EXPECT_EQ(got.state_directory, "/var/lib/postern");
  EXPECT_EQ(got.control_socket, "/run/postern/control");
  EXPECT_EQ(got.postmaster.text(), "it@office.example");
  EXPECT_TRUE(got.received_shows_user);
  ASSERT_EQ(got.listeners.size(), 2U);
  EXPECT_EQ(got.listeners[0].address.text(), "[::]:465");
  EXPECT_TRUE(got.listeners[0].implicit_tls);
  EXPECT_FALSE(got.listeners[1].implicit_tls);
  EXPECT_TRUE(got.tls);
  EXPECT_EQ(got.limits.message_bytes_max, 52'428'800U);
  EXPECT_EQ(got.limits.auth_failures_max, 5U);
  EXPECT_EQ(got.limits.idle_timeout, std::chrono::minutes(5));
  EXPECT_EQ(got.retry.lifetime_max, std::chrono::hours(120));
}

TEST_F(Reference, HasTheUserTheKeysTheUpstreamAndTheRoutes) {
  const LoadResult result = load_configuration(path());
  ASSERT_TRUE(result.configuration) << problems_text(result);
  const Configuration& got = *result.configuration;
  ASSERT_TRUE(got.users.contains("copier-2"));
  const policy::User& user = got.users.find("copier-2")->second;
  EXPECT_EQ(user.senders.size(), 2U);
  EXPECT_EQ(user.addresses.at(0).text(), "192.168.10.0/24");
  EXPECT_EQ(user.rates.bytes_per_day_max, 2'147'483'648U);
  EXPECT_EQ(user.bare_newline, smtp::BareNewline::reject);
  ASSERT_EQ(got.dkim_keys.size(), 2U);
  EXPECT_EQ(got.dkim_keys[1]->algorithm(), crypto::DkimAlgorithm::ed25519_sha256);
  ASSERT_EQ(got.upstreams.size(), 1U);
  EXPECT_EQ(got.upstreams[0].password.text(), "upstream-password");
  EXPECT_EQ(got.upstreams[0].messages_per_minute_max, 600U);
  EXPECT_TRUE(got.upstreams[0].tls_context);
  ASSERT_EQ(got.routes.size(), 2U);
  EXPECT_EQ(got.routes[0].recipients.at(0).text(), "*@partner.example");
}

TEST_F(Reference, RefusesAPrivateKeyThatOthersCanRead) {
  directory_.write("tls/relay.key", test_keys().private_key, 0640);
  const LoadResult result = load_configuration(path());
  EXPECT_FALSE(result.configuration);
  EXPECT_NE(problems_text(result).find("chmod 600 " + directory_.path() + "/tls/relay.key"),
            std::string::npos)
      << problems_text(result);
}

// As systemd's LoadCredential of Debian 13 shows it (relay/base/file.hpp).
TEST_F(Reference, TakesACredentialThatSystemdHandsOver) {
  const bool root = ::geteuid() == 0;  // others cannot make a file of root's
  directory_.write("secrets/provider", "upstream-password\n", root ? 0440 : 0400);
  ASSERT_EQ(::chmod((directory_.path() + "/secrets").c_str(), 0755), 0);
  EXPECT_EQ(load_configuration(path()).configuration == nullptr, root);
  ASSERT_EQ(::setenv("CREDENTIALS_DIRECTORY", (directory_.path() + "/secrets").c_str(), 1), 0);
  const LoadResult result = load_configuration(path());
  ASSERT_EQ(::unsetenv("CREDENTIALS_DIRECTORY"), 0);
  EXPECT_TRUE(result.configuration) << problems_text(result);
}

TEST_F(Reference, RefusesAUserFileThatOthersCanRead) {
  directory_.write("users.d/a.toml", "", 0644);
  const LoadResult result = load_configuration(path());
  EXPECT_FALSE(result.configuration);
  EXPECT_NE(problems_text(result).find("chmod o-rwx " + directory_.path() + "/users.d/a.toml"),
            std::string::npos)
      << problems_text(result);
}

TEST_F(Reference, IgnoresWhatIsNoUserFile) {
  directory_.write("users.d/.a.toml.swp", "nonsense", 0600);
  directory_.write("users.d/a.toml~", "nonsense", 0600);
  directory_.write("users.d/.hidden.toml", "nonsense", 0600);
  const LoadResult result = load_configuration(path());
  EXPECT_TRUE(result.configuration) << problems_text(result);
}

TEST_F(Reference, AMissingFileIsOneProblemOfTheFileAsAWhole) {
  const std::string missing = directory_.path() + "/none.toml";
  const LoadResult result = load_configuration(missing);
  ASSERT_EQ(result.problems.size(), 1U);
  EXPECT_EQ(result.problems[0].line, 0U);
  EXPECT_TRUE(result.problems[0].text().starts_with(missing + ": ")) << result.problems[0].text();
}

TEST_F(Reference, AFileLargerThanAMebibyteIsRefused) {
  directory_.write("postern.toml", std::string((1 << 20) + 1, '#'), 0644);
  EXPECT_FALSE(load_configuration(path()).configuration);
}

TEST_F(Reference, TellsWhereaboutsEvenWhenTheRestIsBroken) {
  directory_.write(
      "postern.toml",
      "nonsense = 1\n[server]\nhostname = \"a.example\"\ncontrol_socket = \"run/control\"\n"
      "[[listener]]\naddress = \"127.0.0.1:2465\"\ntls = \"implicit\"\n[[listener]]\naddress = 5\n",
      0644);
  const auto where = read_whereabouts(path());
  ASSERT_TRUE(where) << where.error().text();
  EXPECT_EQ(where->hostname, "a.example");
  EXPECT_EQ(where->control_socket, directory_.path() + "/run/control");
  EXPECT_EQ(where->state_directory, "/var/lib/postern");
  ASSERT_EQ(where->listeners.size(), 1U);
  EXPECT_EQ(where->listeners[0].address.port, 2465);
}

TEST_F(Reference, WhereaboutsOfABrokenFileAreAnError) {
  directory_.write("postern.toml", "[server\n", 0644);
  EXPECT_FALSE(read_whereabouts(path()));
  EXPECT_FALSE(read_whereabouts(directory_.path() + "/none.toml"));
}

// The mode of users.d's files was checked, and the same verifiers in the main file were anybody's.
TEST_F(Reference, AMainFileWithUsersThatOthersCanOpenIsRefused) {
  ASSERT_EQ(::chmod(path().c_str(), 0644), 0);
  const LoadResult result = load_configuration(path());
  EXPECT_FALSE(result.configuration);
  ASSERT_EQ(result.problems.size(), 1U) << problems_text(result);
  EXPECT_NE(problems_text(result).find("others can open it (mode 644) and it holds password "
                                       "verifiers; run: chmod o-rwx " +
                                       path()),
            std::string::npos)
      << problems_text(result);
  EXPECT_GT(result.problems[0].line, 0U) << "the place of [[user]]";
}

TEST_F(Reference, AMainFileWithoutUsersMayBeReadByAll) {
  std::string text = reference_text();
  const std::size_t users = text.find("[[user]]");
  text.erase(users, text.find("[[dkim]]") - users);
  directory_.write("postern.toml", text, 0644);
  const LoadResult result = load_configuration(path());
  EXPECT_EQ(problems_text(result).find("others can open it"), std::string::npos)
      << problems_text(result);
}

TEST(Verifiers, AreKeptByAFileOfRootOrTheReaderThatOthersCannotOpen) {
  constexpr unsigned relay = 999;
  const auto kept = [](unsigned mode, unsigned owner, unsigned reader) {
    return check_keeps_verifiers({"", mode, owner, 0}, "users.d/a.toml", reader).has_value();
  };
  EXPECT_TRUE(kept(0600, relay, relay));
  EXPECT_TRUE(kept(0640, 0, relay)) << "root:postern, as the first start makes it";
  EXPECT_TRUE(kept(0600, relay, 0)) << "root may look";
  EXPECT_FALSE(kept(0600, 1'000, relay)) << "who owns the file says who may send";
  EXPECT_FALSE(kept(0644, relay, relay));
  EXPECT_FALSE(kept(0601, relay, relay));
  EXPECT_FALSE(kept(0602, 0, 0));
}

TEST(Verifiers, AFileOfUsersDIsCheckedAsItIsRead) {
  const TemporaryDirectory directory;
  const std::string file = directory.path() + "/a.toml";
  directory.write("a.toml", "", 0644);
  DiskFiles files;
  EXPECT_NE(files.read_user_file(file, 100).error().detail.find("chmod o-rwx"), std::string::npos);
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  EXPECT_TRUE(files.read_user_file(file, 100));
  EXPECT_EQ(files.read_user_file(directory.path() + "/b.toml", 100).error().kind,
            ErrorKind::not_found);
}

}  // namespace
}  // namespace postern::config
