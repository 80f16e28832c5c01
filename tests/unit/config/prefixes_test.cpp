// A configuration that was cut off, at any octet, makes no open relay.
//
// Most prefixes are refused, for the upstream stands near the end; each that is accepted is asked
// for what keeps a stranger out.
#include <gtest/gtest.h>

#include "tests/unit/config/config_support.hpp"
#include "tests/unit/smtp/submission_dialogue.hpp"

namespace postern::config {
namespace {

class Prefixes : public ::testing::Test {
 protected:
  Prefixes() {
    const TestKeys& keys = test_keys();
    files_.files["/etc/ssl/certs/ca-certificates.crt"] = keys.roots;
    files_.files["etc/tls/provider-ca.pem"] = keys.roots;
    files_.files["etc/dkim/office.example.rsa.pem"] = keys.rsa_pem;
    files_.files["etc/dkim/office.example.ed25519.pem"] = keys.ed25519_pem;
  }
  // How many prefixes are accepted, the whole text among them.
  std::size_t accepted(const std::string& text) {
    const LoadResult whole = load(text, files_);
    EXPECT_TRUE(whole.configuration) << problems_text(whole);
    if (!whole.configuration) return 0;
    std::size_t count = 0;
    for (std::size_t size = 0; size <= text.size() && !HasFailure(); ++size) {
      SCOPED_TRACE("cut off at octet " + std::to_string(size));
      const LoadResult cut = load(text.substr(0, size), files_);
      if (!cut.configuration) continue;
      ++count;
      expect_closed(*cut.configuration, *whole.configuration);
    }
    return count;
  }
  static void expect_closed(const Configuration& cut, const Configuration& whole) {
    EXPECT_TRUE(cut.tls);
    EXPECT_FALSE(cut.listeners.empty());
    for (const Listener& listener : cut.listeners) expect_no_mail_without_login(cut, listener);
    for (const auto& [name, user] : cut.users) {
      ASSERT_TRUE(whole.users.contains(name));
      const policy::User& meant = whole.users.find(name)->second;
      EXPECT_FALSE(user.password.text().empty());
      EXPECT_FALSE(user.senders.empty());
      EXPECT_FALSE(user.recipients.empty());
      // Where it may connect from and how much it may send can be lost by a cut; these cannot.
      policy::User rights = user;
      rights.addresses = meant.addresses;
      rights.bare_newline = meant.bare_newline;
      EXPECT_TRUE(policy::same_credential_and_rights(rights, meant));
    }
  }
  static void expect_no_mail_without_login(const Configuration& cut, const Listener& listener) {
    smtp::SubmissionDialogue dialogue(
        {.hostname = cut.hostname, .implicit_tls = listener.implicit_tls});
    const auto mail_is_refused = [&] {
      dialogue.say("EHLO client.example");
      return dialogue.say("MAIL FROM:<scan@office.example>").starts_with("530 5.7.0");
    };
    EXPECT_TRUE(mail_is_refused());
    if (listener.implicit_tls) return;
    EXPECT_TRUE(dialogue.say("STARTTLS").starts_with("220"));
    EXPECT_TRUE(mail_is_refused());
  }
  MemoryFiles files_;
};

TEST_F(Prefixes, OfTheReferenceMakeNoOpenRelay) {
  const std::size_t count = accepted(reference_text());
  RecordProperty("accepted", static_cast<int>(count));
  EXPECT_GT(count, 1U);
}

TEST_F(Prefixes, OfThePackagesExampleMakeNoOpenRelay) {
  const std::size_t count =
      accepted(text_of_source("firmware/debian-package/postern.toml.example"));
  RecordProperty("accepted", static_cast<int>(count));
  EXPECT_GT(count, 1U);
}

TEST_F(Prefixes, OfTheExampleForABoxMakeNoOpenRelay) {
  const std::string page = text_of_source("firmware/README.md");
  const std::size_t begin = page.find("```toml\n") + 8;
  const std::string text = page.substr(begin, page.find("```", begin) - begin);
  // What the box makes itself.
  files_.files["etc/tls/own.crt"] = test_keys().certificate;
  files_.files["etc/tls/own.key"] = test_keys().private_key;
  const std::size_t count = accepted(text);
  RecordProperty("accepted", static_cast<int>(count));
  EXPECT_GT(count, 1U);
}

// The user last: only so a user that was cut off is accepted.
TEST_F(Prefixes, ThatEndInAUserMakeNoOpenRelay) {
  std::string text = reference_text();
  const std::size_t begin = text.find("[[user]]");
  const std::size_t end = text.find("[[dkim]]");
  ASSERT_LT(begin, end);
  const std::string user = text.substr(begin, end - begin);
  text.erase(begin, end - begin);
  const std::size_t count = accepted(text + user);
  RecordProperty("accepted", static_cast<int>(count));
  EXPECT_GT(count, 1U);
}

}  // namespace
}  // namespace postern::config
