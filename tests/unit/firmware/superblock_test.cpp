// The checksum of ext4's superblock.
#include "firmware/init/superblock.hpp"

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

std::array<std::uint8_t, superblock_bytes> an_empty_one() {
  std::array<std::uint8_t, superblock_bytes> superblock{};
  superblock[0x38] = 0x53;
  superblock[0x39] = 0xEF;
  superblock[0x175] = 1;
  return superblock;
}

TEST(SuperblockTest, TheChecksumIsThatOfE2fsprogs) {
  EXPECT_EQ(superblock_checksum(an_empty_one()),
            (std::array<std::uint8_t, 4>{0x96, 0xC8, 0xE4, 0x04}));
}

TEST(SuperblockTest, WhatIsNoneGetsNoChecksum) {
  for (const std::size_t at : {0x38U, 0x39U, 0x175U}) {
    auto superblock = an_empty_one();
    superblock[at] ^= 1;
    EXPECT_FALSE(superblock_checksum(superblock)) << at;
  }
}

}  // namespace
}  // namespace postern::firmware
