// A client's password is nowhere in memory that the relay gave back: not in the TLS engine's, the
// connection's, the driver's or the session's, whichever way the client comes and goes.
#include "relay/base/encoding.hpp"
#include "tests/unit/base/freed_memory.hpp"
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

class WipingTest : public SubmissionTest {
 protected:
  void SetUp() override {
    SubmissionTest::SetUp();
    start();
    client = &dial(Port::implicit);
    EXPECT_TRUE(client->command("EHLO copier.office.example").starts_with("250"));
    // The base64 of the password's middle, as it stands in the line.
    encoded = auth_plain(user_name, password).substr(28, 24);
  }
  // The worker has ended, so all of its memory is back.
  std::string found_at_the_end(const FreedMemoryWatch& watch) {
    stop_worker();
    worker.reset();
    return watch.found();
  }
  Client* client = nullptr;
  std::string encoded;
};

TEST_F(WipingTest, AfterALogin) {
  FreedMemoryWatch watch({password, encoded}, FreedMemoryWatch::Threads::others);
  EXPECT_EQ(client->command(auth_plain(user_name, password)).substr(0, 9), "235 2.7.0");
  EXPECT_EQ(client->command("QUIT").substr(0, 3), "221");
  EXPECT_TRUE(client->sees_the_end());
  EXPECT_EQ(found_at_the_end(watch), "");
}

TEST_F(WipingTest, AfterALoginAtTheFrontOfMuchInput) {
  FreedMemoryWatch watch({password, encoded}, FreedMemoryWatch::Threads::others);
  std::string input = auth_plain(user_name, password) + "\r\n";
  for (int i = 0; i < 2'000; ++i) input += "NOOP\r\n";  // one record's plain text is read in pieces
  client->write(input);
  EXPECT_EQ(client->reply().substr(0, 9), "235 2.7.0");
  EXPECT_EQ(found_at_the_end(watch), "");
}

TEST_F(WipingTest, AfterAPasswordThatTheSessionNeverCameTo) {
  FreedMemoryWatch watch({password, encoded}, FreedMemoryWatch::Threads::others);
  client->write("QUIT\r\n" + auth_plain(user_name, password) + "\r\n");
  EXPECT_EQ(client->reply().substr(0, 3), "221");
  EXPECT_TRUE(client->sees_the_end());
  EXPECT_EQ(found_at_the_end(watch), "");
}

TEST_F(WipingTest, AfterAResponseWhoseEndIsNoBase64) {
  FreedMemoryWatch watch({password, encoded}, FreedMemoryWatch::Threads::others);
  EXPECT_EQ(client->command(auth_plain(user_name, password) + "????").substr(0, 3), "501");
  EXPECT_EQ(found_at_the_end(watch), "");
}

}  // namespace
}  // namespace postern::submission
