// Routes: the first that matches, and what an empty list or a star means.
#include <gtest/gtest.h>

#include "relay/policy/routes.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

using Upstreams = std::vector<std::string>;

Route route_to(std::string upstream) {
  Route route;
  route.upstreams = {std::move(upstream)};
  return route;
}

const smtp::Mailbox anna = mailbox("anna@far.example");
const smtp::ReversePath scan = from("scan@office.example");

TEST(Routes, NoRouteFindsNothing) { EXPECT_EQ(find_upstreams({}, anna, scan, "copier"), nullptr); }

TEST(Routes, ARouteWithoutConditionsTakesEverything) {
  const std::vector routes = {route_to("provider")};
  const auto* found = find_upstreams(routes, anna, scan, "copier");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(*found, Upstreams{"provider"});
  EXPECT_NE(find_upstreams(routes, anna, smtp::ReversePath{}, ""), nullptr);
}

TEST(Routes, TheFirstMatchCountsAndKeepsItsOrderOfUpstreams) {
  std::vector routes = {route_to("internal"), route_to("far"), route_to("rest")};
  routes[0].recipients = {pattern("*@office.example")};
  routes[1].recipients = {pattern("*@far.example")};
  routes[1].upstreams = {"far-1", "far-2"};
  EXPECT_EQ(*find_upstreams(routes, anna, scan, "copier"), (Upstreams{"far-1", "far-2"}));
  EXPECT_EQ(*find_upstreams(routes, mailbox("bob@office.example"), scan, "copier"),
            Upstreams{"internal"});
  EXPECT_EQ(*find_upstreams(routes, mailbox("bob@other.example"), scan, "copier"),
            Upstreams{"rest"});
}

TEST(Routes, AllConditionsOfARouteMustHold) {
  std::vector routes = {route_to("special")};
  routes[0].recipients = {pattern("*@far.example")};
  routes[0].senders = {pattern("scan@office.example")};
  routes[0].users = {"copier", "camera"};
  EXPECT_NE(find_upstreams(routes, anna, scan, "copier"), nullptr);
  EXPECT_NE(find_upstreams(routes, anna, scan, "camera"), nullptr);
  EXPECT_EQ(find_upstreams(routes, mailbox("anna@near.example"), scan, "copier"), nullptr);
  EXPECT_EQ(find_upstreams(routes, anna, from("boss@office.example"), "copier"), nullptr);
  EXPECT_EQ(find_upstreams(routes, anna, scan, "nas"), nullptr);
}

TEST(Routes, UserNamesAreComparedExactlyAndAStarIsEveryUser) {
  std::vector routes = {route_to("provider")};
  routes[0].users = {"copier"};
  EXPECT_EQ(find_upstreams(routes, anna, scan, "Copier"), nullptr);
  EXPECT_EQ(find_upstreams(routes, anna, scan, "copier-2"), nullptr);
  EXPECT_EQ(find_upstreams(routes, anna, scan, ""), nullptr);
  routes[0].users = {"*"};
  EXPECT_NE(find_upstreams(routes, anna, scan, "Copier"), nullptr);
  EXPECT_NE(find_upstreams(routes, anna, scan, ""), nullptr);
}

TEST(Routes, OurOwnReportsCanBeRoutedByTheirEmptyUserName) {
  std::vector routes = {route_to("reports")};
  routes[0].users = {""};
  EXPECT_NE(find_upstreams(routes, anna, smtp::ReversePath{}, ""), nullptr);
  EXPECT_EQ(find_upstreams(routes, anna, scan, "copier"), nullptr);
}

TEST(Routes, TheNullReversePathMatchesOnlyAnEmptyListOrAStar) {
  std::vector routes = {route_to("provider")};
  routes[0].senders = {pattern("*@office.example"), pattern("*@*.office.example")};
  EXPECT_EQ(find_upstreams(routes, anna, smtp::ReversePath{}, ""), nullptr);
  routes[0].senders.push_back(pattern("*"));
  EXPECT_NE(find_upstreams(routes, anna, smtp::ReversePath{}, ""), nullptr);
  routes[0].senders.clear();
  EXPECT_NE(find_upstreams(routes, anna, smtp::ReversePath{}, ""), nullptr);
}

}  // namespace
}  // namespace postern::policy
