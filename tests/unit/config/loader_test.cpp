// The loader as a whole: order of problems, secrets kept, users.d, defaults and cross references.
#include <gtest/gtest.h>

#include "relay/config/check.hpp"
#include "tests/unit/config/config_support.hpp"

namespace postern::config {
namespace {

TEST(Loader, TakesTheGoodText) {
  const LoadResult result = load(good_text());
  ASSERT_TRUE(result.configuration) << problems_text(result);
  EXPECT_EQ(result.configuration->upstreams.at(0).password.text(),
            "upstream-password");  // first line, no CR
  EXPECT_EQ(describe(result, "etc/postern.toml").text,
            "etc/postern.toml: the configuration is good (1 listener, 1 user, 1 upstream, 1 "
            "DKIM key)\n");
}

TEST(Loader, TellsAllProblemsAtOnceSortedByFileAndPlace) {
  MemoryFiles files;
  files.files["etc/users.d/b.toml"] = "[[user]]\nname = \"b\"\n";
  std::string text = replaced(good_text(), "upstreams = [\"provider\"]", "upstreams = [\"x\"]");
  text = replaced(text, "hostname = \"relay.office.example\"", "hostname = \"relay\"");
  text = replaced(text, "recipients_max = 100", "recipients_max = 1");
  text += "nonsense = 1\n";
  const LoadResult result = load(text, files);
  EXPECT_FALSE(result.configuration);
  ASSERT_EQ(result.problems.size(), 7U) << problems_text(result);
  std::vector<std::string> places;
  for (const Problem& problem : result.problems) {
    places.push_back(problem.file + ':' + std::to_string(problem.line));
  }
  const std::vector<std::string> expected = {
      "etc/postern.toml:2",   "etc/postern.toml:14",  "etc/postern.toml:41", "etc/postern.toml:42",
      "etc/users.d/b.toml:1", "etc/users.d/b.toml:1", "etc/users.d/b.toml:1"};
  EXPECT_EQ(places, expected);
  EXPECT_FALSE(describe(result, "etc/postern.toml").valid);
}

TEST(Loader, AnEmptyFileLacksWhatEveryRelayNeeds) {
  const std::string told = problems_text(load(""));
  for (const std::string_view part : {"[server] is missing", "no [[listener]]",
                                      "[tls] names no certificate_file", "no [[upstream]]"}) {
    EXPECT_NE(told.find(part), std::string::npos) << told;
  }
}

TEST(Loader, TakesTheCertificateMadeHereWhereTheConfigurationNamesNone) {
  const std::string files =
      "certificate_file = \"tls/relay.crt\"\nprivate_key_file = \"tls/relay.key\"\n";
  MemoryFiles made;
  made.files["etc/tls/own.crt"] = test_keys().certificate;
  made.files["etc/tls/own.key"] = test_keys().private_key;
  const auto without_files = load(replaced(good_text(), files, ""), made);
  EXPECT_TRUE(without_files.configuration) << problems_text(without_files);
  const auto without_section =
      load(replaced(good_text(), "[tls]\n" + files + "version_min = \"1.2\"\n", ""), made);
  EXPECT_TRUE(without_section.configuration) << problems_text(without_section);
  made.files["etc/tls/own.key"] = test_keys().other_private_key;
  const auto mixed = load(replaced(good_text(), files, ""), made);
  EXPECT_NE(problems_text(mixed).find("private_key_file cannot be used"), std::string::npos);
  // One of the two named is a mistake and no reason to take the other from here.
  const auto half = load(replaced(good_text(), "private_key_file = \"tls/relay.key\"\n", ""), made);
  EXPECT_NE(problems_text(half).find("[tls] lacks private_key_file"), std::string::npos)
      << problems_text(half);
}

TEST(Loader, NeverPrintsAPasswordThatStandsWhereAVerifierBelongs) {
  const std::string verifier = '"' + test_keys().verifier + '"';
  for (const std::string_view secret :
       {"\"hunter2hunter2\"", "\"argon2id:hunter2\"", "\"scram-sha-256:4096$hunter2\"",
        "hunter2hunter2", "\"hunter2", "'hunter2\n'", "[\"hunter2\"]", "\"\\xhunter2\""}) {
    const LoadResult result = load(replaced(good_text(), verifier, secret));
    EXPECT_FALSE(result.configuration);
    EXPECT_FALSE(result.problems.empty());
    EXPECT_EQ(problems_text(result).find("hunter2"), std::string::npos) << problems_text(result);
  }
}

TEST(Loader, NeverPrintsAnUpstreamsPassword) {
  const LoadResult result = load(replaced(good_text(), "tls/ca.pem", "secrets/provider"));
  EXPECT_EQ(problems_text(result).find("upstream-password"), std::string::npos);
}

TEST(Loader, ASyntaxErrorHasItsPlaceAndUserFilesAreStillChecked) {
  MemoryFiles files;
  files.files["etc/users.d/b.toml"] = "[limits]\n";
  const LoadResult result = load("[server]\nhostname = \"unended\npostmaster = 1\n", files);
  ASSERT_EQ(result.problems.size(), 2U) << problems_text(result);
  EXPECT_EQ(result.problems[0].line, 2U);
  EXPECT_EQ(result.problems[1].text(),
            "etc/users.d/b.toml:1:2: \"limits\" does not belong here; files in users.d hold "
            "[[user]] sections only");
}

TEST(Loader, UsersComeFromUsersDirectoryToo) {
  MemoryFiles files;
  files.files["etc/users.d/door.toml"] =
      "[[user]]\nname = \"door\"\npassword = \"" + test_keys().verifier +
      "\"\nsenders = [\"door@office.example\"]\nrecipients = [\"*\"]\n";
  const LoadResult result =
      load(replaced(good_text(), "[[route]]", "[[route]]\nusers = [\"door\"]"), files);
  ASSERT_TRUE(result.configuration) << problems_text(result);
  EXPECT_TRUE(result.configuration->users.contains("door"));
  EXPECT_TRUE(result.configuration->users.contains("copier-2"));
}

TEST(Loader, AUserToldTwiceIsToldWithBothPlaces) {
  MemoryFiles files;
  files.files["etc/users.d/copier.toml"] = "[[user]]\nname = \"copier-2\"\npassword = \"" +
                                           test_keys().verifier +
                                           "\"\nsenders = [\"*\"]\nrecipients = [\"*\"]\n";
  const LoadResult result = load(good_text(), files);
  ASSERT_EQ(result.problems.size(), 1U) << problems_text(result);
  EXPECT_EQ(result.problems[0].text(),
            "etc/users.d/copier.toml:2:8: user \"copier-2\" is there already, at "
            "etc/postern.toml:19; take one of "
            "them away");
}

TEST(Loader, AnUnreadableUserFileIsAProblemAndRoutesDoNotComplainToo) {
  MemoryFiles files;
  files.files["etc/users.d/door.toml"] = "";
  files.unreadable["etc/users.d/door.toml"] = "permission denied";
  const LoadResult result =
      load(replaced(good_text(), "[[route]]", "[[route]]\nusers = [\"door\"]"), files);
  ASSERT_EQ(result.problems.size(), 1U) << problems_text(result);
  EXPECT_EQ(result.problems[0].text(),
            "etc/users.d/door.toml: read etc/users.d/door.toml: permission denied");
}

TEST(Loader, WithoutARouteTheOnlyUpstreamTakesAll) {
  const LoadResult result =
      load(replaced(good_text(), "[[route]]\nupstreams = [\"provider\"]\n", ""));
  ASSERT_TRUE(result.configuration) << problems_text(result);
  ASSERT_EQ(result.configuration->routes.size(), 1U);
  EXPECT_EQ(result.configuration->routes[0].upstreams, std::vector<std::string>{"provider"});
}

TEST(Loader, WithSeveralUpstreamsARouteIsNeeded) {
  const LoadResult result =
      load(replaced(good_text(), "[[route]]\nupstreams = [\"provider\"]\n",
                    "[[upstream]]\nname = \"second\"\nhost = \"b.example\"\ntls = "
                    "\"implicit\"\nca_file = \"tls/ca.pem\"\n"));
  EXPECT_NE(problems_text(result).find("there are several [[upstream]] and no [[route]]"),
            std::string::npos);
}

TEST(Loader, AnUpstreamToldTwiceIsAProblem) {
  const LoadResult result = load(good_text() +
                                 "[[upstream]]\nname = \"provider\"\nhost = \"b.example\"\ntls = "
                                 "\"implicit\"\nca_file = \"tls/ca.pem\"\n");
  EXPECT_NE(problems_text(result).find(
                "43:8: upstream \"provider\" is there already, at etc/postern.toml:32"),
            std::string::npos)
      << problems_text(result);
}

TEST(Loader, APortLeftOutFollowsTheTlsMode) {
  // RFC 8314 §3.3 and RFC 6409 §3.1.
  auto result = load(replaced(good_text(), "port = 587\n", ""));
  ASSERT_TRUE(result.configuration) << problems_text(result);
  EXPECT_EQ(result.configuration->upstreams[0].port, 587);
  result = load(replaced(good_text(), "port = 587\ntls = \"starttls\"", "tls = \"implicit\""));
  ASSERT_TRUE(result.configuration) << problems_text(result);
  EXPECT_EQ(result.configuration->upstreams[0].port, 465);
}

TEST(Loader, ReceivedShowsUserCanBeSwitchedOff) {
  const LoadResult result =
      load(replaced(good_text(), "[server]", "[server]\nreceived_shows_user = false"));
  ASSERT_TRUE(result.configuration) << problems_text(result);
  EXPECT_FALSE(result.configuration->received_shows_user);
}

TEST(Loader, ASectionWithoutANameIsASyntaxErrorAndNoAbort) {
  // The parser's own assertion failed here; see toml.hpp.
  for (const std::string_view text :
       {"[# x]\ny\n", "[[#", "[", "[\n", "a.#", "[a.#]", "x = {#", "x = {a=1,#"}) {
    EXPECT_FALSE(load(std::string(text)).configuration) << text;
  }
}

TEST(Loader, TheNumberOfProblemsIsBounded) {
  std::string text = good_text();
  for (int i = 0; i < 2'000; ++i) text += "unknown_" + std::to_string(i) + " = 1\n";
  const LoadResult result = load(text);
  EXPECT_LE(result.problems.size(), 501U);
  EXPECT_NE(problems_text(result).find("more problems follow"), std::string::npos);
}

TEST(Loader, ATerminalsControlCharactersInAKeyAreEscaped) {
  const LoadResult result = load("\"\\u001b[31m\" = 1\n");
  EXPECT_EQ(problems_text(result).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace postern::config
