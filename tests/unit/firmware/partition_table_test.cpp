// Growing the last partition of a GPT (UEFI specification 2.10, section 5.3).
#include "firmware/init/partition_table.hpp"

#include <algorithm>
#include <string_view>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

constexpr std::size_t header = 512, entries = 1024, entry_bytes = 128;
constexpr std::uint64_t sectors_before = 20'000, sectors_after = 200'000;

void put(std::span<std::uint8_t> bytes, std::size_t at, std::size_t count, std::uint64_t value) {
  for (std::size_t i = 0; i < count; ++i)
    bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint64_t number(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

void seal(std::vector<std::uint8_t>& front) {
  put(front, header + 88, 4, crc32(std::span(front).subspan(entries, 128 * entry_bytes)));
  put(front, header + 16, 4, 0);
  put(front, header + 16, 4, crc32(std::span(front).subspan(header, 92)));
}

// Two partitions, the second of them the last on the medium but the first in the table.
std::vector<std::uint8_t> table() {
  std::vector<std::uint8_t> front(table_sectors * sector_bytes);
  std::ranges::copy(std::string_view("EFI PART"), front.begin() + header);
  put(front, header + 12, 4, 92);
  put(front, header + 24, 8, 1);
  put(front, header + 32, 8, sectors_before - 1);
  put(front, header + 40, 8, 34);
  put(front, header + 48, 8, sectors_before - 34);
  put(front, header + 72, 8, 2);
  put(front, header + 80, 4, 128);
  put(front, header + 84, 4, entry_bytes);
  put(front, entries + 32, 8, 4096);
  put(front, entries + 40, 8, 16'383);
  put(front, entries + entry_bytes + 32, 8, 2048);
  put(front, entries + entry_bytes + 40, 8, 4095);
  seal(front);
  return front;
}

TEST(PartitionTableTest, TheLastPartitionGrowsAndBothCopiesAreSound) {
  const auto grown = grow_last_partition(table(), sectors_after);
  ASSERT_TRUE(grown);
  EXPECT_EQ(grown->partition_number, 1U);
  EXPECT_EQ(grown->partition_first, 4096U);
  EXPECT_EQ(grown->partition_sectors, sectors_after - 34 - 4096 + 1);
  EXPECT_EQ(number(grown->front, entries + 40, 8), sectors_after - 34);
  EXPECT_EQ(number(grown->front, entries + entry_bytes + 40, 8), 4095U);  // the other one stays
  // Front: the header names its copy; back: entries first, then the header that names the front.
  EXPECT_EQ(number(grown->front, header + 32, 8), sectors_after - 1);
  ASSERT_EQ(grown->back.size(), 33 * sector_bytes);
  const auto back = std::span(grown->back).subspan(32 * sector_bytes);
  EXPECT_EQ(number(back, 24, 8), sectors_after - 1);
  EXPECT_EQ(number(back, 32, 8), 1U);
  EXPECT_EQ(number(back, 72, 8), sectors_after - 33);
  for (auto one : {std::span(grown->front).subspan(header, 92), back.first(92)}) {
    std::vector<std::uint8_t> copy(one.begin(), one.end());
    put(copy, 16, 4, 0);
    EXPECT_EQ(crc32(copy), number(one, 16, 4));
    EXPECT_EQ(number(one, 88, 4), crc32(std::span(grown->back).first(128 * entry_bytes)));
  }
}

TEST(PartitionTableTest, WhatWasWrittenIsASoundTableAgain) {
  const auto grown = grow_last_partition(table(), sectors_after);
  ASSERT_TRUE(grown);
  EXPECT_FALSE(grow_last_partition(grown->front, sectors_after));  // nothing more to grow
  EXPECT_TRUE(grow_last_partition(grown->front, 2 * sectors_after));
}

TEST(PartitionTableTest, LessThanAMegabyteOrASmallerMediumChangesNothing) {
  for (const std::uint64_t sectors : {std::uint64_t{0}, std::uint64_t{33}, std::uint64_t{16'383},
                                      std::uint64_t{16'384 + 33 + 2047}})
    EXPECT_FALSE(grow_last_partition(table(), sectors)) << sectors;
}

TEST(PartitionTableTest, AnyFlippedBitOfHeaderOrEntriesIsRefused) {
  const std::vector<std::uint8_t> good = table();
  ASSERT_TRUE(grow_last_partition(good, sectors_after));
  for (std::size_t at = header; at < header + 92; ++at) {
    std::vector<std::uint8_t> changed = good;
    changed[at] ^= 1;
    EXPECT_FALSE(grow_last_partition(changed, sectors_after)) << at;
  }
  for (std::size_t at = entries; at < entries + 128 * entry_bytes; at += 37) {
    std::vector<std::uint8_t> changed = good;
    changed[at] ^= 1;
    EXPECT_FALSE(grow_last_partition(changed, sectors_after)) << at;
  }
}

TEST(PartitionTableTest, APartitionBeyondTheMediumOrThatEndsBeforeItBeginsIsLeftAlone) {
  for (const std::uint64_t end : {~std::uint64_t{0}, ~std::uint64_t{0} - 2081, sectors_after}) {
    std::vector<std::uint8_t> front = table();
    put(front, entries + 40, 8, end);
    seal(front);
    EXPECT_FALSE(grow_last_partition(front, sectors_after)) << end;
  }
  std::vector<std::uint8_t> front = table();
  put(front, entries + 32, 8, 16'384);
  seal(front);
  EXPECT_FALSE(grow_last_partition(front, sectors_after));
}

TEST(PartitionTableTest, ATableWithoutPartitionsIsLeftAlone) {
  std::vector<std::uint8_t> front = table();
  std::fill_n(front.begin() + entries, 2 * entry_bytes, std::uint8_t{0});
  seal(front);
  EXPECT_FALSE(grow_last_partition(front, sectors_after));
}

}  // namespace
}  // namespace postern::firmware
