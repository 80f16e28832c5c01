// Names to addresses: literals, the hosts file, and a small DNS server that answers as told.
#include "relay/net/resolver.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "relay/net/os_address.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

using Addresses = std::vector<SocketAddress>;

// Speaks as much of RFC 1035 as one question needs. What it says hangs on the first label:
//   both A and AAAA, "many" 40 of A, "none" NXDOMAIN, "empty" NOERROR without records, "broken"
//   SERVFAIL.
class SmallDnsServer {
 public:
  SmallDnsServer() : descriptor_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const OsAddress any = to_os_address(address_of("127.0.0.1:0"));
    EXPECT_EQ(::bind(descriptor_, any.get(), any.length), 0);
    const timeval wait{0, 50'000};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    address_ = own_address(descriptor_).value_or(SocketAddress{}).text();
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~SmallDnsServer() {
    thread_.request_stop();
    thread_.join();
    ::close(descriptor_);
  }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] int questions() const { return questions_; }

 private:
  void serve(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      char buffer[512];
      sockaddr_storage from{};
      socklen_t from_length = sizeof from;
      const ssize_t length = recvfrom(descriptor_, buffer, sizeof buffer, 0,
                                      reinterpret_cast<sockaddr*>(&from), &from_length);
      if (length < 12) continue;
      ++questions_;
      const std::string reply = answer(std::string(buffer, static_cast<std::size_t>(length)));
      sendto(descriptor_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
             from_length);
    }
  }

  static std::string answer(const std::string& question) {
    std::size_t end = 12;
    while (question[end] != 0) end += static_cast<unsigned char>(question[end]) + 1U;
    const bool asks_aaaa = question[end + 2] == 28;
    const std::string label = question.substr(13, static_cast<unsigned char>(question[12]));
    char code = 0;
    int records = 0;
    if (label == "none") code = 3;
    if (label == "broken") code = 2;
    if (label == "both") records = 1;
    if (label == "many" && !asks_aaaa) records = 20;
    std::string reply = question.substr(0, 2);
    reply +=
        {'\x81', static_cast<char>('\x80' | code), 0, 1, 0, static_cast<char>(records), 0, 0, 0, 0};
    reply += question.substr(12, end + 5 - 12);
    for (int i = 0; i < records; ++i) {
      reply += {'\xc0', 12, 0, asks_aaaa ? '\x1c' : '\x01', 0, 1, 0, 0,
                0,      60, 0, asks_aaaa ? '\x10' : '\x04'};
      if (asks_aaaa) {
        reply += {'\x20', '\x01', '\x0d', '\xb8'};
        reply += std::string(11, '\0');
      } else {
        reply += {'\xc0', '\x00', '\x02'};
      }
      reply += static_cast<char>(i + 1);
    }
    return reply;
  }

  int descriptor_;
  std::string address_;
  std::atomic<int> questions_ = 0;
  std::jthread thread_;
};

class ResolverTest : public NetTest {
 protected:
  Result<Addresses> resolve(const std::string& host, const std::string& servers = {}) {
    auto made = Resolver::create(*loop, servers);
    if (!made) return std::unexpected(made.error());
    std::optional<Result<Addresses>> answer;
    (*made)->resolve(host, 587, [&](Result<Addresses> result) { answer = std::move(result); });
    EXPECT_FALSE(answer.has_value()) << "answered inside resolve()";
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer ? std::move(*answer) : fail(ErrorKind::timeout, "resolve", "never answered");
  }
};

TEST_F(ResolverTest, AnswersLiteralsItself) {
  EXPECT_EQ(resolve("192.0.2.7"), Addresses{address_of("192.0.2.7:587")});
  EXPECT_EQ(resolve("2001:db8::7"), Addresses{address_of("[2001:db8::7]:587")});
  EXPECT_EQ(resolve("[192.0.2.7]"), Addresses{address_of("192.0.2.7:587")});
  EXPECT_EQ(resolve("[IPv6:2001:db8::7]"), Addresses{address_of("[2001:db8::7]:587")});
}

TEST_F(ResolverTest, KnowsLocalhostWithoutTheDns) {
  const auto answer = resolve("localhost", "127.0.0.1:1");
  ASSERT_TRUE(answer.has_value()) << answer.error().text();
  ASSERT_FALSE(answer->empty());
  for (const SocketAddress& one : *answer) {
    EXPECT_TRUE(one.address.is_loopback());
    EXPECT_EQ(one.port, 587);
  }
}

TEST_F(ResolverTest, AsksForBothFamilies) {
  const SmallDnsServer dns;
  const auto answer = resolve("both.example", dns.address());
  ASSERT_TRUE(answer.has_value()) << answer.error().text();
  EXPECT_EQ(answer->size(), 2U);
  EXPECT_NE(std::ranges::find(*answer, address_of("192.0.2.1:587")), answer->end());
  EXPECT_NE(std::ranges::find(*answer, address_of("[2001:db8::1]:587")), answer->end());
}

TEST_F(ResolverTest, BoundsAnAnswerAndKeepsItsOrder) {
  const SmallDnsServer dns;
  const auto answer = resolve("many.example", dns.address());
  ASSERT_TRUE(answer.has_value()) << answer.error().text();
  ASSERT_EQ(answer->size(), addresses_max);
  EXPECT_TRUE(std::ranges::is_sorted(*answer));
  EXPECT_EQ(answer->front(), address_of("192.0.2.1:587"));
}

TEST_F(ResolverTest, TellsAMissingNameFromTemporaryTrouble) {
  const SmallDnsServer dns;
  const auto none = resolve("none.example", dns.address());
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().kind, ErrorKind::not_found);
  EXPECT_EQ(none.error().text(),
            "resolve none.example: the name does not exist in the DNS; check its spelling");
  const auto empty = resolve("empty.example", dns.address());
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().kind, ErrorKind::not_found);
  EXPECT_NE(empty.error().detail.find("neither A nor AAAA"), std::string::npos)
      << empty.error().text();
  const auto broken = resolve("broken.example", dns.address());
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().kind, ErrorKind::busy) << broken.error().text();
  const auto nobody = resolve("both.example", refusing_address().text());
  ASSERT_FALSE(nobody.has_value());
  EXPECT_EQ(nobody.error().kind, ErrorKind::busy) << nobody.error().text();
}

TEST_F(ResolverTest, AsksNothingForWhatIsNoName) {
  const SmallDnsServer dns;
  for (const std::string& host :
       {std::string(), std::string("a..example"), std::string("mail example"),
        std::string(".example"), std::string("a\0b.example", 11), std::string(300, 'a'),
        std::string("mail.example\n"), std::string("m\xc3\xa4il.example")}) {
    const auto answer = resolve(host, dns.address());
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().kind, ErrorKind::invalid) << answer.error().text();
  }
  EXPECT_EQ(dns.questions(), 0);
}

TEST_F(ResolverTest, NeverAppendsASearchDomain) {
  const SmallDnsServer dns;
  EXPECT_FALSE(resolve("none.example", dns.address()).has_value());
  EXPECT_LE(dns.questions(), 2);  // A and AAAA, and nothing else
}

TEST_F(ResolverTest, MayBeDestroyedInsideAnAnswerAndWithQuestionsWaiting) {
  const SmallDnsServer dns;
  auto made = Resolver::create(*loop, dns.address());
  ASSERT_TRUE(made.has_value());
  int answers = 0;
  for (const char* host : {"both.example", "many.example", "none.example", "192.0.2.1"}) {
    (*made)->resolve(host, 25, [&, kept = std::string(100, 'x')](const Result<Addresses>&) {
      made->reset();
      answers += kept.size() == 100 ? 1 : 100;
    });
  }
  ASSERT_TRUE(until([&] { return answers > 0; }));
  run_for(*loop, Duration(50));
  EXPECT_EQ(answers, 1);
}

TEST_F(ResolverTest, ServersThatAreNoAddressesAreAnError) {
  const auto made = Resolver::create(*loop, "not an address");
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().kind, ErrorKind::invalid);
}

}  // namespace
}  // namespace postern::net
