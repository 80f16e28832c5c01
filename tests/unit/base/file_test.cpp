// Files: bounded reads, guarded secrets, atomic writes, and errors that say what to do.
#include "relay/base/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace postern {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = testing::TempDir() + "postern-file-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory_),
                                                  std::filesystem::directory_iterator()));
  }
  std::string directory_;
};

TEST_F(FileTest, WhatWasWrittenIsReadWithItsModeAndNothingIsLeftBehind) {
  ASSERT_TRUE(write_file_atomically(path("a"), as_bytes("first"), 0640));
  ASSERT_TRUE(write_file_atomically(path("a"), as_bytes("second"), 0640));
  const auto content = read_file(path("a"), 100);
  ASSERT_TRUE(content) << content.error().text();
  EXPECT_EQ(*content, "second");
  struct stat status{};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, AFailedWriteLeavesNoTemporaryFile) {
  ASSERT_EQ(::mkdir(path("taken").c_str(), 0700), 0);
  EXPECT_FALSE(write_file_atomically(path("taken"), as_bytes("x"), 0600));
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, AFileHasItsOwnerBeforeItsName) {
  // The owner was changed by name afterwards, in a directory of the user it was changed to.
  const bool root = ::geteuid() == 0;
  const FileOwner owner{root ? 12'345 : ::geteuid(), root ? 12'346 : ::getegid()};
  ASSERT_TRUE(write_file_atomically(path("a"), as_bytes("first"), 0640, owner));
  struct stat status{};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, owner.user);
  EXPECT_EQ(status.st_gid, owner.group);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);

  // Who may not give files away leaves the old one as it was: the name comes last.
  constexpr unsigned nobody = 65'534;
  ASSERT_EQ(::chown(directory_.c_str(), root ? nobody : ::geteuid(), ::getegid()), 0);
  ASSERT_EQ(root ? ::seteuid(nobody) : 0, 0);
  const auto refused = write_file_atomically(path("a"), as_bytes("second"), 0640, FileOwner{0, 0});
  ASSERT_EQ(root ? ::seteuid(0) : 0, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::denied);
  EXPECT_EQ(read_file(path("a"), 100).value_or(""), "first");
  EXPECT_EQ(files(), 1U) << "and no temporary file";
}

TEST_F(FileTest, ReadsAreBounded) {
  ASSERT_TRUE(write_file_atomically(path("a"), as_bytes("12345"), 0600));
  EXPECT_TRUE(read_file(path("a"), 5));
  const auto refused = read_file(path("a"), 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
  EXPECT_NE(refused.error().text().find(path("a")), std::string::npos);
}

TEST_F(FileTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_file(path("pipe"), 10).error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_file(directory_, 10).error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_file(path("absent"), 10).error().kind, ErrorKind::not_found);
}

TEST_F(FileTest, ASecretThatOthersCanReadIsRefused) {
  ASSERT_TRUE(write_file_atomically(path("key"), as_bytes("hush"), 0600));
  const auto secret = read_secret_file(path("key"), 10);
  ASSERT_TRUE(secret) << secret.error().text();
  EXPECT_EQ(secret->text(), "hush");
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U}) {
    ASSERT_EQ(::chmod(path("key").c_str(), mode), 0);
    const auto refused = read_secret_file(path("key"), 10);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::denied);
    EXPECT_NE(refused.error().detail.find("chmod 600"), std::string::npos);
  }
}

// systemd 254 and later hands a credential over as root's, mode 0400 with an access list for the
// unit's user: stat says 0440.
class Credentials : public FileTest {
 protected:
  Credentials() {
    EXPECT_EQ(::mkdir(path("handed").c_str(), 0700), 0);
    EXPECT_TRUE(write_file_atomically(path("handed/key"), as_bytes("hush"), 0440));
    EXPECT_EQ(::chmod(path("handed").c_str(), 0550), 0);
  }
  ~Credentials() override { ::chmod(path("handed").c_str(), 0700); }
  [[nodiscard]] bool taken(const std::string& name) const {
    return read_secret_file(path(name), 10, path("handed")).has_value();
  }
  const bool root_ = ::geteuid() == 0;
};

TEST_F(Credentials, OfRootMayShowTheGroupsRightToRead) {
  EXPECT_EQ(taken("handed/key"), root_) << "who is not root cannot make a file of root's";
  EXPECT_FALSE(read_secret_file(path("handed/key"), 10));
  for (const mode_t mode : {0444U, 0460U, 0450U, 0441U, 0442U}) {
    ASSERT_EQ(::chmod(path("handed/key").c_str(), mode), 0);
    EXPECT_FALSE(taken("handed/key")) << mode;
  }
  ASSERT_EQ(::chmod(path("handed/key").c_str(), 0400), 0);
  EXPECT_TRUE(taken("handed/key"));
}

TEST_F(Credentials, LieDirectlyInTheirDirectory) {
  ASSERT_EQ(::chmod(path("handed").c_str(), 0700), 0);
  ASSERT_EQ(::mkdir(path("handed/below").c_str(), 0700), 0);
  ASSERT_TRUE(write_file_atomically(path("handed/below/key"), as_bytes("hush"), 0440));
  ASSERT_TRUE(write_file_atomically(path("key"), as_bytes("hush"), 0440));
  ASSERT_EQ(::symlink("../key", path("handed/link").c_str()), 0);
  ASSERT_EQ(::symlink("handed", path("other").c_str()), 0);
  EXPECT_EQ(taken("handed/key"), root_);
  for (const char* name : {"handed/below/key", "key", "handed/../key", "handed/link", "other/key"})
    EXPECT_FALSE(taken(name)) << name;
  EXPECT_FALSE(read_secret_file(path("other/key"), 10, path("other"))) << "the directory a link";
}

TEST_F(Credentials, AreNoneWhereOthersCouldHavePutThem) {
  for (const mode_t mode : {0770U, 0707U, 01777U}) {
    ASSERT_EQ(::chmod(path("handed").c_str(), mode), 0);
    EXPECT_FALSE(taken("handed/key")) << mode;
  }
  if (!root_) return;
  constexpr unsigned other = 12'345;
  ASSERT_EQ(::chmod(path("handed").c_str(), 0700), 0);
  ASSERT_EQ(::chown(path("handed").c_str(), other, 0), 0);
  EXPECT_FALSE(taken("handed/key"));
  ASSERT_EQ(::chown(path("handed").c_str(), 0, 0), 0);
  ASSERT_TRUE(taken("handed/key"));
  ASSERT_EQ(::chown(path("handed/key").c_str(), other, 0), 0);
  EXPECT_FALSE(taken("handed/key"));
  ASSERT_EQ(::chown(path("handed/key").c_str(), 0, other), 0);
  EXPECT_FALSE(taken("handed/key")) << "the group's members can read it";
}

TEST_F(FileTest, AFileOfUnknownSizeIsRead) {
  const auto content = read_file("/proc/self/comm", 4096);
  ASSERT_TRUE(content) << content.error().text();
  EXPECT_FALSE(content->empty());
}

TEST(FileDescriptor, ClosesOnceAndMoves) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  FileDescriptor moved = std::move(writer);
  EXPECT_FALSE(writer);  // NOLINT: looking at the moved-from value is the point
  moved.reset();
  char c = 0;
  EXPECT_EQ(::read(reader.get(), &c, 1), 0);  // the last writer is gone
}

TEST(Errors, ErrnoKindsAreToldApart) {
  EXPECT_EQ(fail_errno("write", ENOSPC).error().kind, ErrorKind::no_space);
  EXPECT_EQ(fail_errno("write", EDQUOT).error().kind, ErrorKind::no_space);
  EXPECT_EQ(fail_errno("open", EEXIST).error().kind, ErrorKind::exists);
  EXPECT_EQ(fail_errno("open", EPERM).error().kind, ErrorKind::denied);
  EXPECT_EQ(fail_errno("read", EIO).error().kind, ErrorKind::io);
  EXPECT_EQ(fail_errno("open /x", ENOENT).error().text(), "open /x: No such file or directory");
}

}  // namespace
}  // namespace postern
