// The descriptor limit: raised as far as it goes, and a warning where that is not enough.
#include "relay/descriptors.hpp"

#include <sys/resource.h>

#include <string>

#include "gtest/gtest.h"

namespace postern {
namespace {

class DescriptorsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0); }
  void TearDown() override { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0); }
  static rlim_t soft_limit() {
    rlimit now{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
    return now.rlim_cur;
  }
  rlimit before{};
  config::Configuration configuration;
  std::string text;
  Logger log{[this](LogLevel, std::string_view line) { text += line; }};
};

TEST_F(DescriptorsTest, TheSoftLimitIsRaisedToTheHardOne) {
  ASSERT_GT(before.rlim_max, 256U);
  const rlimit low{.rlim_cur = 256, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  configuration.limits.connections_max = 1;
  prepare_descriptors(configuration, log);
  EXPECT_EQ(soft_limit(), before.rlim_max);
}

TEST_F(DescriptorsTest, ALimitBelowWhatTheConfigurationAllowsIsAWarning) {
  ASSERT_LT(before.rlim_max, RLIM_INFINITY);
  configuration.limits.connections_max = before.rlim_max;
  prepare_descriptors(configuration, log);
  EXPECT_NE(text.find("event=descriptors-too-few limit=" + std::to_string(before.rlim_max) +
                      " needed=" + std::to_string(descriptors_needed(configuration))),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("LimitNOFILE="), std::string::npos) << text;
}

TEST_F(DescriptorsTest, WhatTheDefaultsNeedIsMoreThanTheUsualSoftLimitAndFitsTheUnit) {
  configuration.upstreams.resize(1);
  configuration.listeners.resize(2);
  EXPECT_GT(descriptors_needed(configuration), 1'024U);
  EXPECT_LE(descriptors_needed(configuration), 16'384U);  // LimitNOFILE= of both units
  configuration.limits.connections_max = 10'000;          // the most that the loader takes
  EXPECT_LE(descriptors_needed(configuration), 16'384U);
}

}  // namespace
}  // namespace postern
