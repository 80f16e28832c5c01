// Files that `postern user` writes: their names, their round trip through the loader, changed
// passwords.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "relay/base/file.hpp"
#include "relay/config/user_file.hpp"
#include "tests/unit/config/config_support.hpp"

namespace postern::config {
namespace {

UserSettings door() {
  return {"door-1",
          test_keys().verifier,
          {"door@office.example", "\"a\\\\b\"@office.example"},
          {"*@office.example"},
          {"192.168.10.7", "2001:db8::/32"},
          "it@office.example"};
}

TEST(UserFileName, CannotLeaveItsDirectory) {
  for (const std::string_view name : {"copier-2", "a", "nas.1_x"})
    EXPECT_TRUE(check_user_file_name(name)) << name;
  for (const std::string_view name :
       {"", ".", "..", ".hidden", "a/b", "../a", "A", "a b", "a\n", "ä"}) {
    EXPECT_FALSE(check_user_file_name(name)) << name;
  }
  EXPECT_TRUE(check_user_file_name(std::string(64, 'a')));
  EXPECT_FALSE(check_user_file_name(std::string(65, 'a')));
  EXPECT_EQ(user_file_path("/etc/postern/postern.toml", "door-1"),
            "/etc/postern/users.d/door-1.toml");
  EXPECT_EQ(user_file_path("postern.toml", "door-1"), "users.d/door-1.toml");
}

TEST(UserFile, ReadsBackThroughTheLoaderAsTheSameUser) {
  MemoryFiles files;
  files.files["etc/users.d/door-1.toml"] = render_user_file(door());
  const LoadResult result = load(good_text(), files);
  ASSERT_TRUE(result.configuration) << problems_text(result);
  const auto found = result.configuration->users.find("door-1");
  ASSERT_NE(found, result.configuration->users.end());
  const policy::User& user = found->second;
  EXPECT_EQ(user.password.text(), test_keys().verifier);
  ASSERT_EQ(user.senders.size(), 2U);
  EXPECT_EQ(user.senders[1].text(), "\"a\\\\b\"@office.example");
  EXPECT_EQ(user.recipients.at(0).text(), "*@office.example");
  EXPECT_EQ(user.addresses.size(), 2U);
  ASSERT_TRUE(user.owner);
  EXPECT_EQ(user.owner->text(), "it@office.example");
}

TEST(UserFile, IsWrittenForItsOwnerAloneInADirectoryOfItsOwn) {
  const TemporaryDirectory directory;
  const std::string path = user_file_path(directory.path() + "/postern.toml", "door-1");
  ASSERT_TRUE(write_user_file(path, render_user_file(door())));
  struct stat facts{};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  ASSERT_EQ(::stat(directory_of(path).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0700U);
  ASSERT_TRUE(write_user_file(path, "# again\n"));
  EXPECT_EQ(read_file(path, 100).value_or(""), "# again\n");
}

TEST(ReplacedPassword, ChangesOneLineAndKeepsTheRest) {
  const std::string text =
      "# hand-made\n[[user]]\nname = \"a\"\npassword = \"old-a\"\n\n[[user]]\n  password='old-b' # "
      "note\r\n  name = \"b\"\n";
  const auto changed = replace_password(text, "f.toml", "b", "new");
  ASSERT_TRUE(changed) << changed.error().text();
  EXPECT_EQ(*changed, replaced(text, "'old-b'", "\"new\""));
}

TEST(ReplacedPassword, RefusesWhatItCannotChangeSafelyAndPrintsNoPassword) {
  for (const std::string_view text :
       {"user = [ { name = \"a\", password = \"hunter2\" } ]",
        "[[user]]\nname = \"a\"\npassword = \"\"\"hunter2\n\"\"\"\n", "[[user]]\nname = \"a\"\n",
        "[[user]]\nname = \"b\"\npassword = \"hunter2\"\n", "password = \"hunter2", ""}) {
    const auto changed = replace_password(text, "f.toml", "a", "new");
    ASSERT_FALSE(changed) << text;
    EXPECT_EQ(changed.error().text().find("hunter2"), std::string::npos);
  }
}

TEST(UserListing, ShowsUsersOfAllFilesWithTheirPlaces) {
  const TemporaryDirectory directory;
  const std::string main_file = directory.path() + "/postern.toml";
  directory.write("postern.toml",
                  "nonsense = 1\n[[user]]\nname = \"main\"\n[[route]]\nusers = [\"door-1\"]\n",
                  0644);
  directory.write("users.d/door-1.toml", render_user_file(door()), 0600);
  directory.write("users.d/two.toml", "[[user]]\nname = \"x\"\n[[user]]\nname = \"y\"\n", 0600);
  directory.write("users.d/zz-broken.toml", "[[user]\n", 0600);
  const auto listing = list_users(main_file);
  ASSERT_TRUE(listing) << listing.error().text();
  ASSERT_EQ(listing->users.size(), 4U);
  ASSERT_NE(listing->find("main"), nullptr);
  EXPECT_TRUE(listing->find("main")->in_main_file);
  EXPECT_EQ(listing->find("main")->place.line, 3U);
  ASSERT_NE(listing->find("door-1"), nullptr);
  EXPECT_TRUE(listing->find("door-1")->alone_in_file);
  EXPECT_EQ(listing->find("door-1")->settings.verifier, "");
  ASSERT_NE(listing->find("x"), nullptr);
  EXPECT_FALSE(listing->find("x")->alone_in_file);
  EXPECT_EQ(listing->find("none"), nullptr);
  ASSERT_EQ(listing->route_users.size(), 1U);
  EXPECT_EQ(listing->route_users[0].first, "door-1");
  ASSERT_EQ(listing->problems.size(), 1U);
}

}  // namespace
}  // namespace postern::config
