// Sealed mail: opens to the same octets, and any change is found.
#include "crypto/sealed_body.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "crypto/random.hpp"
#include "relay/base/file.hpp"

namespace postern::crypto {
namespace {

Secret some_key() {
  Secret key = Secret::of_size(32);
  fill_random(key.writable());
  return key;
}

Bytes some_octets(std::size_t size) {
  Bytes octets(size);
  fill_random(octets);
  return octets;
}

Bytes seal(const Secret& key, ByteView plain, std::size_t piece) {
  SealWriter writer(key);
  Bytes sealed;
  for (std::size_t at = 0; at < plain.size(); at += piece) {
    writer.write(plain.subspan(at, std::min(piece, plain.size() - at)), sealed);
  }
  writer.finish(sealed);
  return sealed;
}

Result<Bytes> open(const Secret& key, ByteView sealed, std::size_t piece) {
  SealReader reader(key);
  Bytes plain;
  for (std::size_t at = 0; at < sealed.size(); at += piece) {
    if (auto read = reader.read(sealed.subspan(at, std::min(piece, sealed.size() - at)), plain);
        !read) {
      return std::unexpected(read.error());
    }
  }
  if (auto finished = reader.finish(); !finished) return std::unexpected(finished.error());
  return plain;
}

TEST(SealedStream, OpensToTheSameOctetsHoweverItIsCut) {
  const Secret key = some_key();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, seal_chunk_bytes - 1, seal_chunk_bytes,
        seal_chunk_bytes + 1, 3 * seal_chunk_bytes + 5}) {
    const Bytes plain = some_octets(size);
    for (const std::size_t piece : {std::size_t{1000}, seal_chunk_bytes, 10 * seal_chunk_bytes}) {
      const Bytes sealed = seal(key, plain, piece);
      EXPECT_EQ(sealed.size(),
                seal_header_bytes + size + seal_overhead_bytes * (size / seal_chunk_bytes + 1));
      for (const std::size_t read_piece :
           {std::size_t{4096}, seal_chunk_bytes, 10 * seal_chunk_bytes}) {
        const auto opened = open(key, sealed, read_piece);
        ASSERT_TRUE(opened) << size << " " << piece << " " << read_piece << ": "
                            << opened.error().text();
        EXPECT_EQ(*opened, plain);
      }
    }
  }
}

TEST(SealedStream, OpensOctetByOctet) {
  const Secret key = some_key();
  const Bytes plain = some_octets(300);
  const auto opened = open(key, seal(key, plain, 7), 1);
  ASSERT_TRUE(opened);
  EXPECT_EQ(*opened, plain);
}

TEST(SealedStream, FindsEveryFlippedOctetOfAShortOne) {
  const Secret key = some_key();
  const Bytes plain = some_octets(40);
  const Bytes sealed = seal(key, plain, 40);
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    Bytes changed = sealed;
    changed[at] ^= std::byte{0x10};
    EXPECT_FALSE(open(key, changed, sealed.size())) << at;
  }
}

TEST(SealedStream, FindsACutASwapARepetitionAndAnAddition) {
  const Secret key = some_key();
  const Bytes sealed = seal(key, some_octets(2 * seal_chunk_bytes + 100), seal_chunk_bytes);
  constexpr std::size_t chunk = seal_chunk_bytes + seal_overhead_bytes;
  const auto fails = [&](const Bytes& changed) {
    const auto opened = open(key, changed, 50'000);
    return !opened && opened.error().kind == ErrorKind::corrupt;
  };
  for (const std::size_t left :
       {std::size_t{0}, std::size_t{10}, seal_header_bytes, seal_header_bytes + chunk,
        seal_header_bytes + 2 * chunk, sealed.size() - 1}) {
    EXPECT_TRUE(fails(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(left))))
        << left;
  }
  Bytes swapped = sealed;
  std::swap_ranges(swapped.begin() + seal_header_bytes, swapped.begin() + seal_header_bytes + chunk,
                   swapped.begin() + seal_header_bytes + chunk);
  EXPECT_TRUE(fails(swapped));
  Bytes repeated = sealed;
  repeated.insert(repeated.begin() + seal_header_bytes, sealed.begin() + seal_header_bytes,
                  sealed.begin() + seal_header_bytes + chunk);
  EXPECT_TRUE(fails(repeated));
  Bytes longer = sealed;
  longer.push_back(std::byte{0});
  EXPECT_TRUE(fails(longer));
  EXPECT_FALSE(open(some_key(), sealed, 50'000));
}

TEST(SealedStream, StaysDamagedOnceFoundDamaged) {
  const Secret key = some_key();
  SealReader reader(key);
  Bytes sealed = seal(key, some_octets(seal_chunk_bytes + 1), seal_chunk_bytes);
  sealed[100] ^= std::byte{1};
  Bytes plain;
  EXPECT_FALSE(reader.read(sealed, plain));
  EXPECT_TRUE(plain.empty());
  EXPECT_FALSE(reader.read(as_bytes("x"), plain));
  EXPECT_FALSE(reader.finish());
}

TEST(QueueKeys, AMessageKeyOpensOnlyInItsOwnRow) {
  const QueueKey queue_key = QueueKey::from_octets(some_key());
  const ByteView envelope = as_bytes("copier-2 to anna@far.example");
  const auto made = queue_key.make_message_key(QueueId{7}, envelope);
  const auto unwrapped = queue_key.clone().unwrap(QueueId{7}, envelope, made.wrapped);
  ASSERT_TRUE(unwrapped);
  EXPECT_EQ(unwrapped->text(), made.key.text());
  EXPECT_FALSE(queue_key.unwrap(QueueId{8}, envelope, made.wrapped));
  EXPECT_FALSE(QueueKey::from_octets(some_key()).unwrap(QueueId{7}, envelope, made.wrapped));
  EXPECT_FALSE(
      queue_key.unwrap(QueueId{7}, as_bytes("copier-2 to anne@far.example"), made.wrapped));
  EXPECT_FALSE(queue_key.unwrap(QueueId{7}, {}, made.wrapped));
  Bytes changed = made.wrapped;
  changed.back() ^= std::byte{1};
  EXPECT_FALSE(queue_key.unwrap(QueueId{7}, envelope, changed));
  EXPECT_FALSE(queue_key.unwrap(QueueId{7}, envelope, {}));
}

class QueueKeyFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "queue-key-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(QueueKeyFile, IsMadeOnceForItsOwnerAloneAndReadAgain) {
  const std::string path = directory_ + "/queue.key";
  const auto first = QueueKey::load_or_create(path);
  ASSERT_TRUE(first) << first.error().text();
  struct stat facts{};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  const auto second = QueueKey::load_or_create(path);
  ASSERT_TRUE(second);
  const auto made = first->make_message_key(QueueId{1}, {});
  EXPECT_TRUE(second->unwrap(QueueId{1}, {}, made.wrapped));
}

TEST_F(QueueKeyFile, OfTheWrongSizeIsRefusedAndNotReplaced) {
  const std::string path = directory_ + "/queue.key";
  ASSERT_TRUE(write_file_atomically(path, as_bytes("short"), 0600));
  const auto loaded = QueueKey::load_or_create(path);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, ErrorKind::corrupt);
  EXPECT_EQ(std::filesystem::file_size(path), 5U);
}

TEST(SmallTexts, OpenWithTheirPurposeAndKeyOnly) {
  const Secret key = some_key();
  const Bytes sealed = seal_small(key, as_bytes("Received: from printer\r\n"), "header prefix");
  const auto opened = open_small(key, sealed, "header prefix");
  ASSERT_TRUE(opened);
  EXPECT_EQ(as_text(*opened), "Received: from printer\r\n");
  EXPECT_FALSE(open_small(key, sealed, "envelope"));
  EXPECT_FALSE(open_small(some_key(), sealed, "header prefix"));
  EXPECT_FALSE(open_small(key, ByteView(sealed).first(10), "header prefix"));
  Bytes changed = sealed;
  changed[30] ^= std::byte{1};
  EXPECT_FALSE(open_small(key, changed, "header prefix"));
  const auto empty = open_small(key, seal_small(key, {}, "p"), "p");
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->empty());
}

}  // namespace
}  // namespace postern::crypto
