// The pure parts of the image's first process and supervisor.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "firmware/init/dhcp.hpp"
#include "firmware/init/modules.hpp"
#include "firmware/init/orders.hpp"
#include "firmware/init/partition_table.hpp"
#include "firmware/init/restart_policy.hpp"
#include "firmware/init/shred.hpp"
#include "firmware/init/system.hpp"
#include "firmware/init/verity.hpp"
#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

using std::chrono::seconds;

TEST(RestartPolicyTest, WaitsGrowAndFiveEndsAreALoop) {
  RestartPolicy policy;
  const RestartPolicy::Clock::time_point now{};
  for (const int wait : {1, 4, 16, 60}) EXPECT_EQ(policy.ended(now), seconds(wait));
  EXPECT_FALSE(policy.safe_mode());
  EXPECT_EQ(policy.ended(now), RestartPolicy::safe_mode_time);
  EXPECT_TRUE(policy.safe_mode());
  policy.forgive();
  EXPECT_FALSE(policy.safe_mode());
  EXPECT_EQ(policy.ended(now), seconds(1));
}

TEST(RestartPolicyTest, SafeModeLastsUntilARelayIsReady) {
  RestartPolicy policy;
  RestartPolicy::Clock::time_point now{};
  for (int end = 0; end < 5; ++end) static_cast<void>(policy.ended(now));
  now += RestartPolicy::safe_mode_time;
  EXPECT_EQ(policy.ended(now), seconds(1));
  EXPECT_TRUE(policy.safe_mode());
  policy.worked();
  EXPECT_FALSE(policy.safe_mode());
}

TEST(RestartPolicyTest, FiveEndsWithinADayAreOftenAndAreForgottenADayLater) {
  RestartPolicy policy;
  RestartPolicy::Clock::time_point now{};
  for (int end = 0; end < 5; ++end) {
    EXPECT_FALSE(policy.ended_often(now));
    static_cast<void>(policy.ended(now += std::chrono::hours(5)));
    policy.worked();
  }
  EXPECT_FALSE(policy.safe_mode());
  EXPECT_TRUE(policy.ended_often(now + std::chrono::hours(4)));
  EXPECT_FALSE(policy.ended_often(now + std::chrono::hours(5)));
}

TEST(ModulesTest, LoadsWhatAModuleNeedsBeforeItself) {
  const ModuleIndex index(
      "kernel/b.ko.xz: kernel/c.ko.xz kernel/d.ko.xz\nkernel/c.ko.xz: kernel/d.ko.xz\n",
      "alias pci:v00001AF4d* b\n");
  const std::vector<std::string> order = {"kernel/d.ko.xz", "kernel/c.ko.xz", "kernel/b.ko.xz"};
  EXPECT_EQ(index.for_name("b"), order);
  EXPECT_EQ(index.for_device("pci:v00001AF4d00001000"), order);
  EXPECT_TRUE(index.for_device("pci:v00008086d0").empty());
  EXPECT_EQ(index.names_below("kernel/c"), std::vector<std::string>{"c"});
}

TEST(OrdersTest, OnlyTheBoxsOwnNameErasesIt) {
  const std::string identity = "0123456789abcdef";
  EXPECT_TRUE(names_this_box("0123456789abcdef", identity));
  EXPECT_TRUE(names_this_box("\xEF\xBB\xBF 0123456789abcdef \r\nmore", identity));
  for (const char* wrong : {"", "\n0123456789abcdef", "0123456789abcde", "0123456789abcdef0",
                            "0123456789ABCDEF", "box 0123456789abcdef"}) {
    EXPECT_FALSE(names_this_box(wrong, identity)) << wrong;
  }
  EXPECT_FALSE(names_this_box("", ""));
}

TEST(OrdersTest, AnEraseThatWasInterruptedIsKnownByItsResult) {
  const std::string identity = "0123456789abcdef";
  const std::string result =
      "Box " + identity + " is being erased.\r\n\r\nTo revoke:\r\na\r\nb\r\n";
  EXPECT_TRUE(is_result_of(result, identity));
  EXPECT_EQ(revocations_in(result), "a\nb\n");
  EXPECT_FALSE(is_result_of(result, "fedcba9876543210"));
  EXPECT_FALSE(is_result_of("Nothing was erased", identity));
  EXPECT_FALSE(is_result_of("Box  is erased", ""));
  EXPECT_EQ(revocations_in("Nothing was erased"), "");
}

class ShredTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "postern-shred-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root = name;
    std::filesystem::create_directories(root + "/top/replaced-T");
    for (const char* each : {"/top/a", "/top/b", "/top/replaced-T/queue.key", "/outside"})
      ASSERT_TRUE(write_file(root + each, "secret"));
    std::filesystem::create_symlink(root + "/outside", root + "/top/link");
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  std::string root;
  int fed = 0;
  Shredding shredding{[this] { ++fed; }};
};

// The watchdog would else end the erase of a directory with many small files.
TEST_F(ShredTest, FeedsTheWatchdogAtEachName) {
  std::ifstream kept(root + "/top/a");
  shred_tree(root + "/top", shredding);
  EXPECT_GE(fed, 6);
  EXPECT_TRUE(shredding.failed.empty());
  EXPECT_FALSE(std::filesystem::exists(root + "/top"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), std::string(6, '\0'));
  EXPECT_EQ(read_file(root + "/outside"), "secret");
}

TEST_F(ShredTest, EmptiesADirectoryWithMoreNamesThanAreReadAtOnce) {
  for (std::size_t i = 0; i <= directory_names_max; ++i)
    std::ofstream(root + "/top/" + std::to_string(i) + ".body");
  shred_tree(root + "/top", shredding);
  EXPECT_TRUE(shredding.failed.empty());
  EXPECT_FALSE(std::filesystem::exists(root + "/top"));
}

TEST_F(ShredTest, FindsTheKeysOfQueuesThatWerePutAway) {
  shred_named(root + "/top", "queue.key", shredding);
  EXPECT_FALSE(std::filesystem::exists(root + "/top/replaced-T/queue.key"));
  EXPECT_TRUE(std::filesystem::exists(root + "/top/a"));
}

TEST_F(ShredTest, TellsWhatCouldNotBeErased) {
  shred("/proc/self/status", shredding);
  EXPECT_FALSE(shredding.failed.empty());
}

TEST(VerityTest, TakesOnlyWholeParameters) {
  const std::string hash(64, 'a'), salt(64, '0');
  const std::string line = "postern.root_hash=" + hash + " postern.root_salt=" + salt;
  const auto whole = read_verity_parameters(line + " postern.root_blocks=7 postern.root_tree=7");
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(
      verity_table(*whole, "/dev/vda2", OnDamage::panic),
      "1 /dev/vda2 /dev/vda2 4096 4096 7 7 sha256 " + hash + " " + salt + " 1 panic_on_corruption");
  EXPECT_FALSE(read_verity_parameters(line + " postern.root_blocks=7").has_value());
  EXPECT_FALSE(
      read_verity_parameters(line + " postern.root_blocks=8 postern.root_tree=7").has_value());
}

TEST(DhcpTest, AReplyCutShortAnywhereIsRefused) {  // RFC 2131 section 2
  const HardwareAddress hardware = {2, 0, 0, 0, 0, 1};
  auto reply = dhcp_message(DhcpKind::offer, 42, hardware, nullptr);
  reply[0] = 2;
  EXPECT_TRUE(read_dhcp_reply(reply, 42, hardware).has_value());
  EXPECT_FALSE(read_dhcp_reply(reply, 43, hardware).has_value());
  for (std::size_t size = 0; size <= 240; ++size) {
    EXPECT_FALSE(read_dhcp_reply(std::span(reply).first(size), 42, hardware).has_value()) << size;
  }
}

TEST(PartitionTableTest, ATableThatIsNotSoundIsLeftAlone) {
  const std::string check = "123456789";
  const std::vector<std::uint8_t> octets(check.begin(), check.end());
  EXPECT_EQ(crc32(octets), 0xCBF43926U);  // the well-known check value
  EXPECT_EQ(crc32(octets, castagnoli_polynomial), 0xE3069283U);
  const std::vector<std::uint8_t> empty(table_sectors * sector_bytes);
  EXPECT_FALSE(grow_last_partition(empty, 1U << 20).has_value());
}

}  // namespace
}  // namespace postern::firmware
