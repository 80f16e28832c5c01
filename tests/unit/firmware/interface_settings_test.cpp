// The lines in which the operator's command tells a fixed address.
#include "firmware/init/interface_settings.hpp"

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

TEST(InterfaceSettingsTest, ALineEachForAPersonAndBack) {
  InterfaceSettings settings;
  settings.address = {192, 168, 10, 5};
  settings.mask = {255, 255, 254, 0};
  EXPECT_EQ(settings_text(settings), "Address        192.168.10.5/23\n");
  EXPECT_EQ(read_settings(settings_text(settings)), settings);
  settings.router = Ipv4{192, 168, 10, 1};
  settings.name_servers = {{192, 168, 10, 1}, {9, 9, 9, 9}};
  settings.time_servers = {{192, 168, 10, 2}};
  EXPECT_EQ(read_settings(settings_text(settings)), settings);
}

TEST(InterfaceSettingsTest, EveryLengthOfAPrefixIsItsMask) {
  EXPECT_EQ(mask_of(1), (Ipv4{128, 0, 0, 0}));
  EXPECT_EQ(mask_of(30), (Ipv4{255, 255, 255, 252}));
  EXPECT_EQ(mask_of(32), (Ipv4{255, 255, 255, 255}));
}

TEST(InterfaceSettingsTest, LinesAreTakenAsAWholeOrNotAtAll) {
  const std::string good = "Address        192.168.10.5/24\n";
  EXPECT_TRUE(read_settings(good));
  for (const std::string& text :
       {std::string("An address comes by DHCP.\n"), std::string(), std::string("Address\n"),
        std::string("Address        192.168.10.5\n"),
        std::string("Address        192.168.10.5/33\n"),
        std::string("Address        192.168.10.5/\n"),
        std::string("Address        192.168.10/24\n"), std::string("Router         192.168.10.1\n"),
        good + "Router         192.168.10.1/24\n", good + "Gateway        192.168.10.1\n",
        good + "Name server    relay.office.example\n"}) {
    EXPECT_FALSE(read_settings(text)) << text;
  }
}

}  // namespace
}  // namespace postern::firmware
