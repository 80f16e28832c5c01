// Whether a kernel image is signed: the PE format's certificate table.
#include "firmware/update/pe_image.hpp"

#include "gtest/gtest.h"
#include "pe_images.hpp"

namespace postern::firmware {
namespace {

TEST(PeImageTest, ACertificateTableIsASignature) {
  EXPECT_TRUE(carries_signature(pe_image(1736)));
  EXPECT_FALSE(carries_signature(pe_image(0)));
}

TEST(PeImageTest, OneCutShortAnywhereIsNotSigned) {
  const std::string image = pe_image(1736);
  const std::size_t end = 128 + 24 + 112 + 5 * 8;
  for (std::size_t size = 0; size < end; ++size)
    EXPECT_FALSE(carries_signature(std::string_view(image).substr(0, size))) << size;
  EXPECT_TRUE(carries_signature(std::string_view(image).substr(0, end)));
}

TEST(PeImageTest, WhatIsNoImageOfTheseMachinesIsNotSigned) {
  for (const auto& [at, value] : {std::pair<std::size_t, std::uint32_t>{0, 0},
                                  {0x3c, 0xffffffff},
                                  {128, 0},
                                  {128 + 24, 0x10b},
                                  {128 + 24 + 108, 4}}) {
    std::string image = pe_image(1736);
    put(image, at, value, 4);
    EXPECT_FALSE(carries_signature(image)) << at;
  }
}

}  // namespace
}  // namespace postern::firmware
