// Addresses as a configuration writes them and as a log line shows them.
#include "relay/base/socket_address.hpp"

#include <gtest/gtest.h>

namespace postern {
namespace {

std::string round_trip(std::string_view text) {
  const auto address = SocketAddress::parse(text);
  return address ? address->text() : "refused";
}

TEST(SocketAddressTest, ReadsAndWritesBothFamilies) {
  EXPECT_EQ(round_trip("127.0.0.1:587"), "127.0.0.1:587");
  EXPECT_EQ(round_trip("0.0.0.0:0"), "0.0.0.0:0");
  EXPECT_EQ(round_trip("[::]:465"), "[::]:465");
  EXPECT_EQ(round_trip("[2001:DB8:0:0:0:0:0:1]:65535"), "[2001:db8::1]:65535");  // RFC 5952 §4
}

TEST(SocketAddressTest, AnIpv4MappedAddressIsTheIpv4Device) {
  EXPECT_EQ(round_trip("[::ffff:192.0.2.1]:25"), "192.0.2.1:25");  // RFC 4291 §2.5.5.2
  EXPECT_EQ(IpAddress::parse("::ffff:192.0.2.1"), IpAddress::parse("192.0.2.1"));
}

TEST(SocketAddressTest, RefusesWhatIsNoAddressWithAPort) {
  for (const std::string& text : {std::string(),
                                  std::string("127.0.0.1"),
                                  std::string("127.0.0.1:"),
                                  std::string(":25"),
                                  std::string("127.0.0.1:65536"),
                                  std::string("127.0.0.1:+25"),
                                  std::string("127.0.0.1:000025"),
                                  std::string("::1:25"),
                                  std::string("[127.0.0.1]:25"),
                                  std::string("[::1]25"),
                                  std::string("[]:25"),
                                  std::string("[::1:25"),
                                  std::string("mail.example:25"),
                                  std::string("[fe80::1%eth0]:25"),
                                  std::string("127.0.0.1\0:25", 13),
                                  std::string("127.1:25"),
                                  std::string("1.2.3.4.5:25"),
                                  std::string(" 127.0.0.1:25"),
                                  std::string("127.0.0.1:25 "),
                                  std::string(100, '1') + ":25"}) {
    EXPECT_EQ(round_trip(text), "refused") << text;
  }
}

TEST(SocketAddressTest, KnowsLoopback) {
  EXPECT_TRUE(IpAddress::parse("127.9.8.7")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::2")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::")->is_loopback());
}

TEST(SocketAddressTest, DefaultIsIpv4Unspecified) {
  EXPECT_EQ(SocketAddress{}.text(), "0.0.0.0:0");
}

}  // namespace
}  // namespace postern
