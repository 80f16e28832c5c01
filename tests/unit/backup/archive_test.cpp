// Entries of a backup: what may be in one, in which order, and that nothing else is read.
#include "relay/backup/archive.hpp"

#include <gtest/gtest.h>

#include "relay/base/queue_id.hpp"

namespace postern::backup {
namespace {

struct Recorded final : ArchiveSink {
  std::vector<std::string> told;
  Result<> begin(const Entry& entry) override {
    told.push_back(entry.path);
    return {};
  }
  Result<> content(ByteView octets) override {
    told.back() += ':' + std::string(as_text(octets));
    return {};
  }
  Result<> end_file(std::string_view) override {
    told.back() += '.';
    return {};
  }
};

Entry file_at(Place place, std::string path, std::uint64_t size = 0) {
  return {.kind = Kind::file, .place = place, .path = std::move(path), .size = size};
}

void add(ArchiveWriter& writer, Place place, std::string path, std::string_view content,
         Bytes& plain) {
  ASSERT_TRUE(writer.begin(file_at(place, std::move(path), content.size()), plain));
  writer.content(as_bytes(content), plain);
  ASSERT_TRUE(writer.end_file(plain));
}

Bytes sample() {
  ArchiveWriter writer;
  Bytes plain;
  add(writer, Place::about, "about", "x", plain);
  Entry folder = file_at(Place::configuration, "users.d");
  folder.kind = Kind::folder;
  add(writer, Place::configuration, "postern.toml", "[server]", plain);
  EXPECT_TRUE(writer.begin(folder, plain));
  add(writer, Place::configuration, "users.d/a.toml", "", plain);
  add(writer, Place::state, "queue.key", std::string(32, 'k'), plain);
  writer.finish(plain);
  return plain;
}

Result<> read_all(ByteView plain, std::size_t piece, ArchiveSink& sink) {
  ArchiveReader reader(sink);
  for (std::size_t at = 0; at < plain.size(); at += piece) {
    if (auto done = reader.read(plain.subspan(at, std::min(piece, plain.size() - at))); !done)
      return done;
  }
  return reader.finish();
}

TEST(Archive, IsReadAsItWasWrittenInPiecesOfEverySize) {
  const Bytes plain = sample();
  for (const std::size_t piece : {1UZ, 2UZ, 7UZ, 64UZ, plain.size()}) {
    Recorded found;
    ASSERT_TRUE(read_all(plain, piece, found)) << piece;
    ASSERT_EQ(found.told.size(), 5);
    EXPECT_EQ(found.told[2], "users.d");
    EXPECT_EQ(found.told[3], "users.d/a.toml.");
  }
}

TEST(Archive, CutAnywhereItIsNotWhole) {
  const Bytes plain = sample();
  for (std::size_t size = 0; size < plain.size(); ++size) {
    Recorded found;
    EXPECT_FALSE(read_all(ByteView(plain).first(size), 64, found)) << size;
  }
}

TEST(Archive, WithMoreBehindItsEndItIsRefused) {
  Bytes plain = sample();
  plain.push_back(std::byte{0});
  Recorded found;
  EXPECT_FALSE(read_all(plain, 64, found));
}

TEST(Archive, AChangedContentIsFoundByItsHash) {
  Bytes plain = sample();
  const std::string_view text = as_text(plain);
  plain[text.find("[server]")] ^= std::byte{1};
  Recorded found;
  const auto done = read_all(plain, 64, found);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().detail.find("hash"), std::string::npos);
}

TEST(Archive, NamesThatLeaveTheirPlaceAreRefused) {
  for (const char* path :
       {"", "/etc/passwd", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "a\nb", "a\x7f",
        ".restore/x", "replaced-2026/x", "\xff\xfe", "1/2/3/4/5/6/7/8/9"}) {
    EXPECT_FALSE(check_entry(file_at(Place::configuration, path))) << path;
  }
  EXPECT_FALSE(check_entry(file_at(Place::configuration, std::string("a\0b", 3))));
  EXPECT_FALSE(
      check_entry(file_at(Place::configuration, std::string(entry_path_bytes_max + 1, 'a'))));
  EXPECT_TRUE(check_entry(file_at(Place::configuration, "tls/relay.key")));
  EXPECT_TRUE(check_entry(file_at(Place::configuration, "keys of ours/schlüssel.pem")));
}

TEST(Archive, TheStateHoldsAQueueAndNothingElse) {
  const std::string body = "spool/" + QueueId{7}.text() + ".body";
  EXPECT_TRUE(check_entry(file_at(Place::state, body)));
  EXPECT_TRUE(check_entry(file_at(Place::state, "queue.db")));
  for (const std::string& path :
       {std::string("lock"), std::string("spool/x.body"), body + "x", std::string("queue.db-wal"),
        std::string("spool/.body"), std::string("spool")}) {
    EXPECT_FALSE(check_entry(file_at(Place::state, path))) << path;
  }
  EXPECT_FALSE(check_entry(file_at(Place::authority, "postern.toml")));
  EXPECT_FALSE(check_entry(file_at(Place::about, "other")));
}

TEST(Archive, SizesAndModesAreBounded) {
  EXPECT_FALSE(check_entry(file_at(Place::configuration, "a", small_entry_bytes_max + 1)));
  EXPECT_FALSE(check_entry(file_at(Place::state, "queue.db", entry_bytes_max + 1)));
  Entry set_user_id = file_at(Place::configuration, "a");
  set_user_id.mode = 04755;
  EXPECT_FALSE(check_entry(set_user_id));
}

// Written by hand, since the writer refuses to.
TEST(Archive, AnEntryThatComesTwiceIsRefused) {
  ArchiveWriter one, two;
  Bytes plain, again;
  add(one, Place::configuration, "a", "1", plain);
  add(two, Place::configuration, "a", "2", again);
  append(plain, again);
  Recorded found;
  ArchiveReader reader(found);
  const auto done = reader.read(plain);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().detail.find("order"), std::string::npos);
}

TEST(Archive, AFileThatShrankIsToldByTheWriter) {
  ArchiveWriter writer;
  Bytes plain;
  ASSERT_TRUE(writer.begin(file_at(Place::configuration, "a", 2), plain));
  writer.content(as_bytes("1"), plain);
  EXPECT_FALSE(writer.end_file(plain));
}

}  // namespace
}  // namespace postern::backup
