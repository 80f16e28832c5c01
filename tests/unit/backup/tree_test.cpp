// Files beneath a directory whose owner may be anybody: no link leads out, and what is shredded is
// overwritten where it lies.
#include "relay/backup/tree.hpp"

#include "backup_support.hpp"

namespace postern::backup {
namespace {

TEST(Tree, FollowsNoLink) {
  const Scratch scratch;
  scratch.write("outside/secret", "root's");
  scratch.write("inside/plain", "ours");
  std::filesystem::create_symlink(scratch.path("outside/secret"), scratch.path("inside/file"));
  std::filesystem::create_symlink(scratch.path("outside"), scratch.path("inside/folder"));
  const Tree tree = scratch.tree("inside");
  EXPECT_TRUE(tree.open_file("plain"));
  EXPECT_FALSE(tree.open_file("file"));
  EXPECT_FALSE(tree.open_file("folder/secret"));
  EXPECT_FALSE(tree.names("folder"));
  EXPECT_FALSE(tree.create_file("folder/new"));
  EXPECT_FALSE(tree.make_folder("folder/new"));
  EXPECT_FALSE(tree.give("file", 0644, nullptr));
  Shredded told;
  shred(tree, "folder", told);
  shred(tree, "file", told);
  EXPECT_EQ(scratch.read("outside/secret"), "root's");
  EXPECT_FALSE(scratch.has("inside/folder"));
  EXPECT_EQ(told.failed.size(), 2);  // that what they point to is still there
}

// Root would overwrite a file of its own, or give it away.
TEST(Tree, ASecondNameOfAnotherFileIsOnlyRemoved) {
  const Scratch scratch;
  scratch.write("outside/secret", "root's");
  scratch.write("inside/plain", "ours");
  std::filesystem::create_hard_link(scratch.path("outside/secret"), scratch.path("inside/file"));
  const Tree tree = scratch.tree("inside");
  EXPECT_TRUE(tree.give("plain", 0600, nullptr));
  EXPECT_FALSE(tree.give("file", 0600, nullptr));
  Shredded told;
  shred(tree, "file", told);
  EXPECT_EQ(told.failed.size(), 1);
  EXPECT_FALSE(scratch.has("inside/file"));
  EXPECT_EQ(scratch.read("outside/secret"), "root's");
}

TEST(Tree, AMoveReplacesNothing) {
  const Scratch scratch;
  scratch.write("a", "1");
  scratch.write("b", "2");
  const Tree tree = scratch.tree();
  EXPECT_FALSE(tree.move("a", "b"));
  EXPECT_EQ(scratch.read("b"), "2");
}

// The open descriptor shows the octets that the name's removal alone would leave on the medium.
TEST(Tree, ShreddingOverwritesInPlaceBeforeItRemoves) {
  const Scratch scratch;
  const std::string key(40'000, 'k');
  scratch.write("keys/deep/one.key", key);
  scratch.write("spool/x.body", "sealed");
  std::ifstream kept(scratch.path("keys/deep/one.key"), std::ios::binary);
  std::filesystem::create_hard_link(scratch.path("spool/x.body"), scratch.path("body"));
  const Tree tree = scratch.tree();
  Shredded told;
  for (const char* name : {"keys", "spool", "not there"}) shred(tree, name, told);
  EXPECT_EQ(told.files, 2);
  EXPECT_TRUE(told.failed.empty());
  EXPECT_FALSE(scratch.has("keys"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), std::string(key.size(), '\0'));
  EXPECT_EQ(scratch.read("body"), "sealed");  // noise without its key, and often large
}

}  // namespace
}  // namespace postern::backup
