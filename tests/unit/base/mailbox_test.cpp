// The mailbox between threads, and the assertion that ends the process.
#include "relay/base/mailbox.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "relay/base/assert.hpp"

namespace postern {
namespace {

std::chrono::steady_clock::time_point in_an_hour() {
  return std::chrono::steady_clock::now() + std::chrono::hours(1);
}

TEST(Mailbox, AFullOrClosedMailboxLeavesTheItemWithTheCaller) {
  Mailbox<std::unique_ptr<int>> mailbox(1);
  EXPECT_FALSE(mailbox.drained()) << "more may come";
  EXPECT_TRUE(mailbox.push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(mailbox.push(std::move(second)));
  ASSERT_TRUE(second);
  EXPECT_EQ(mailbox.take_all().size(), 1U);
  EXPECT_TRUE(mailbox.push(std::move(second)));
  mailbox.close();
  EXPECT_FALSE(mailbox.push(std::make_unique<int>(3)));
  EXPECT_FALSE(mailbox.drained()) << "what is in can still be taken";
  EXPECT_EQ(mailbox.wait_and_take_all(in_an_hour()).size(), 1U);
  EXPECT_TRUE(mailbox.drained());
  EXPECT_TRUE(mailbox.wait_and_take_all(in_an_hour()).empty());
}

TEST(Mailbox, NobodyWaitsBeyondTheMoment) {
  Mailbox<int> mailbox(1);
  EXPECT_TRUE(mailbox.wait_and_take_all(std::chrono::steady_clock::now()).empty());
  EXPECT_FALSE(mailbox.drained());
}

TEST(Mailbox, WhatSetsSomethingFreeIsTakenBeyondTheBoundButNotWhenClosed) {
  Mailbox<int> mailbox(1);
  EXPECT_TRUE(mailbox.push(1));
  EXPECT_TRUE(mailbox.push_release(2));
  EXPECT_FALSE(mailbox.push(3));
  EXPECT_EQ(mailbox.take_all(), (std::vector<int>{1, 2}));
  mailbox.close();
  EXPECT_FALSE(mailbox.push_release(4));
}

TEST(Mailbox, EverythingPushedArrivesInOrder) {
  Mailbox<int> mailbox(16);
  constexpr int count = 10'000;
  std::thread producer([&mailbox] {
    for (int i = 0; i < count; ++i) {
      int item = i;
      while (!mailbox.push(std::move(item))) std::this_thread::yield();
    }
    mailbox.close();
  });
  int expected = 0;
  for (auto items = mailbox.wait_and_take_all(in_an_hour()); !items.empty();
       items = mailbox.wait_and_take_all(in_an_hour())) {
    for (const int item : items) EXPECT_EQ(item, expected++);
  }
  producer.join();
  EXPECT_EQ(expected, count);
}

TEST(AssertDeathTest, AFalseConditionEndsTheProcessAndSaysWhere) {
  EXPECT_DEATH(POSTERN_ASSERT(1 + 1 == 3), "assertion failed: 1 \\+ 1 == 3 .*mailbox_test.cpp");
}

}  // namespace
}  // namespace postern
