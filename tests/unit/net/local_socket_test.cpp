// The control socket: lines and answers, bounds, and who may be there already.
#include "relay/net/local_socket.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>

#include "relay/net/local_address.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

class LocalSocketTest : public NetTest {
 protected:
  void listen(Callback<std::string_view, LocalServer::Answer> on_line) {
    auto made = LocalServer::listen(*loop, path, std::move(on_line));
    ASSERT_TRUE(made.has_value()) << made.error().text();
    local = std::move(*made);
  }
  void TearDown() override {
    local.reset();
    NetTest::TearDown();
  }
  // A client that is no program of ours.
  [[nodiscard]] int connect_raw() const {
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = LocalAddress::of(path);
    EXPECT_EQ(::connect(descriptor, address->get(), address->length), 0);
    return descriptor;
  }
  static std::string read_all(int descriptor, std::size_t size) {
    std::string text;
    char buffer[4'096];
    while (text.size() < size) {
      const ssize_t length = ::recv(descriptor, buffer, sizeof buffer, 0);
      if (length <= 0) break;
      text.append(buffer, static_cast<std::size_t>(length));
    }
    return text;
  }
  // Runs `work` on a thread while the loop turns.
  void with_thread(std::function<void()> work) {
    std::atomic<bool> finished = false;
    std::jthread thread([&] {
      work();
      finished = true;
    });
    EXPECT_TRUE(until([&] { return finished.load(); }));
  }

  TemporaryDirectory directory;
  std::string path = directory.file("control");
  std::unique_ptr<LocalServer> local;
};

TEST_F(LocalSocketTest, AnswersALineWithALineNowOrLater) {
  Timer later(*loop);
  listen([&](std::string_view line, LocalServer::Answer answer) {
    if (line == "now") return answer("at once");
    later.start(Duration(20), [answer = std::move(answer)]() mutable { answer("in a while"); });
  });
  with_thread([&] {
    EXPECT_EQ(ask_local_server(path, "now", Duration(5'000)), "at once");
    EXPECT_EQ(ask_local_server(path, "later", Duration(5'000)), "in a while");
  });
}

TEST_F(LocalSocketTest, IsForItsOwnerOnlyAndGoesWithTheServer) {
  listen([](std::string_view, LocalServer::Answer) {});
  struct stat found{};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  local.reset();
  EXPECT_NE(stat(path.c_str(), &found), 0);
}

TEST_F(LocalSocketTest, ServesTwoClientsAndManyLinesOfOneInOrder) {
  listen([](std::string_view line, LocalServer::Answer answer) {
    answer("<" + std::string(line) + ">");
  });
  const int one = connect_raw();
  const int other = connect_raw();
  with_thread([&] {
    ASSERT_EQ(::send(one, "a\nb\nc", 5, 0), 5);
    ASSERT_EQ(::send(other, "x\n", 2, 0), 2);
    EXPECT_EQ(read_all(other, 4), "<x>\n");
    EXPECT_EQ(read_all(one, 8), "<a>\n<b>\n");
    ASSERT_EQ(::send(one, "\n", 1, 0), 1);
    EXPECT_EQ(read_all(one, 4), "<c>\n");
  });
  ::close(one);
  ::close(other);
}

TEST_F(LocalSocketTest, CarriesBigRequestsAndBigAnswers) {
  std::size_t seen = 0;
  listen([&](std::string_view line, LocalServer::Answer answer) {
    seen = line.size();
    answer(std::string(4U << 20, 'y'));
  });
  with_thread([&] {
    const auto answer =
        ask_local_server(path, std::string(local_line_bytes_max, 'x'), Duration(10'000));
    ASSERT_TRUE(answer.has_value()) << answer.error().text();
    EXPECT_EQ(answer->size(), 4U << 20);
  });
  EXPECT_EQ(seen, local_line_bytes_max);
}

TEST_F(LocalSocketTest, DropsAClientWhoseLineIsTooLong) {
  bool called = false;
  listen([&](std::string_view, LocalServer::Answer) { called = true; });
  const int raw = connect_raw();
  with_thread([&] {
    const std::string part(64U << 10, 'x');
    for (int i = 0; i < 40; ++i) {
      if (::send(raw, part.data(), part.size(), MSG_NOSIGNAL) < 0) break;
    }
    char octet = 0;
    EXPECT_LE(::recv(raw, &octet, 1, 0), 0);
  });
  ::close(raw);
  EXPECT_FALSE(called);
  const auto refused =
      ask_local_server(path, std::string(local_line_bytes_max + 1, 'x'), Duration(1'000));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
}

TEST_F(LocalSocketTest, TakesNoMoreThanItsClientsMax) {
  listen([](std::string_view, LocalServer::Answer answer) { answer("ok"); });
  std::vector<int> clients;
  for (std::size_t i = 0; i < local_clients_max; ++i) clients.push_back(connect_raw());
  run_for(*loop, Duration(30));
  with_thread([&] {
    const auto refused = ask_local_server(path, "one more", Duration(5'000));
    EXPECT_FALSE(refused.has_value());
    ::close(clients.back());
    clients.pop_back();
    std::this_thread::sleep_for(Duration(50));
    EXPECT_EQ(ask_local_server(path, "again", Duration(5'000)), "ok");
  });
  for (const int one : clients) ::close(one);
}

TEST_F(LocalSocketTest, ReplacesAStaleSocketButNotALivingOneOrAFile) {
  {
    const int dead = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = LocalAddress::of(path);
    ASSERT_EQ(::bind(dead, address->get(), address->length), 0);
    ::close(dead);  // the file stays, as after a crash
  }
  listen([](std::string_view, LocalServer::Answer answer) { answer("alive"); });
  const auto second =
      LocalServer::listen(*loop, path, [](std::string_view, LocalServer::Answer) {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::exists);
  EXPECT_TRUE(second.error().detail.starts_with("another posternd is running"));
  with_thread([&] { EXPECT_EQ(ask_local_server(path, "?", Duration(5'000)), "alive"); });

  const std::string file = directory.file("file");
  std::ofstream(file) << "precious";
  const auto third = LocalServer::listen(*loop, file, [](std::string_view, LocalServer::Answer) {});
  ASSERT_FALSE(third.has_value());
  EXPECT_EQ(third.error().kind, ErrorKind::exists);
  struct stat found{};
  EXPECT_EQ(stat(file.c_str(), &found), 0);
}

TEST_F(LocalSocketTest, APathThatDoesNotFitIsAnError) {
  const std::string long_path = directory.file(std::string(120, 'x'));
  const auto made =
      LocalServer::listen(*loop, long_path, [](std::string_view, LocalServer::Answer) {});
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().kind, ErrorKind::invalid);
  EXPECT_NE(made.error().detail.find("107 octets"), std::string::npos) << made.error().text();
}

TEST_F(LocalSocketTest, AnswersAfterTheClientOrTheServerAreGoneDoNothing) {
  std::vector<LocalServer::Answer> answers;
  listen(
      [&](std::string_view, LocalServer::Answer answer) { answers.push_back(std::move(answer)); });
  const int one = connect_raw();
  const int other = connect_raw();
  ASSERT_EQ(::send(one, "a\n", 2, 0), 2);
  ASSERT_EQ(::send(other, "b\n", 2, 0), 2);
  ASSERT_TRUE(until([&] { return answers.size() == 2; }));
  ::close(one);
  run_for(*loop, Duration(10));
  answers[0]("late");
  run_for(*loop, Duration(10));
  local.reset();
  answers[1]("later still");
  answers.clear();
  ::close(other);
}

TEST_F(LocalSocketTest, ADroppedAnswerEndsItsClient) {
  listen([](std::string_view, const LocalServer::Answer&) {});
  with_thread([&] {
    const auto answer = ask_local_server(path, "hello?", Duration(5'000));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().kind, ErrorKind::busy);
  });
}

TEST_F(LocalSocketTest, TheServerMayBeDestroyedInsideItsCallback) {
  bool whole = false;
  listen([&, kept = std::string(100, 'x')](std::string_view, LocalServer::Answer answer) {
    local.reset();
    answer("never sent");
    whole = kept.size() == 100;
  });
  with_thread([&] { EXPECT_FALSE(ask_local_server(path, "stop", Duration(5'000)).has_value()); });
  EXPECT_TRUE(whole);
}

TEST_F(LocalSocketTest, AskingNobodyAndASilentServerIsToldInWords) {
  const auto nobody = ask_local_server(path, "status", Duration(500));
  ASSERT_FALSE(nobody.has_value());
  EXPECT_EQ(nobody.error().kind, ErrorKind::not_found);
  EXPECT_EQ(nobody.error().text(), "ask posternd at " + path +
                                       ": there is no such socket: posternd is not running, or it "
                                       "was started with another control_socket");
  std::vector<LocalServer::Answer> never;
  listen([&](std::string_view, LocalServer::Answer answer) { never.push_back(std::move(answer)); });
  with_thread([&] {
    const auto silent = ask_local_server(path, "status", Duration(100));
    ASSERT_FALSE(silent.has_value());
    EXPECT_EQ(silent.error().kind, ErrorKind::timeout);
  });
}

}  // namespace
}  // namespace postern::net
