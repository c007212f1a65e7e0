// What people and programs hear about ports: the table, and a sentence for each change of a link.
#include "control/service/port_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pollux::service {
namespace {

using platform::PortState;

platform::Capabilities table_of(const char* driver) {
  platform::DeviceOffer offer;
  offer.driver = driver;
  offer.features.fill(true);
  platform::PortPlan plan;
  std::string error;
  EXPECT_TRUE(platform::negotiate(offer, platform::quirks_of(driver), {.name = "p"}, plan, error));
  return plan.capabilities;
}

TEST(PortReport, TableSaysWhyAFeatureIsNotUsed) {
  const auto lines = describe({.name = "san0", .capabilities = table_of("net_tap")});
  EXPECT_NE(lines.front().find("port san0: driver net_tap, mtu 1500"), std::string::npos);
  const auto row = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("tx tcp checksum") != std::string::npos;
  });
  ASSERT_NE(row, lines.end());
  EXPECT_NE(row->find("odd length"), std::string::npos) << *row;
}

TEST(PortReport, JsonHasARowForEachFeature) {
  const auto json = to_json(table_of("net_ice"));
  EXPECT_EQ(json["driver"], "net_ice");
  ASSERT_EQ(json["features"].size(), platform::kFeatureCount);
  for (const auto& row : json["features"])
    EXPECT_TRUE(row["used"].get<bool>() || !row["why_not"].get<std::string>().empty()) << row;
}

TEST(PortEvents, EveryChangeIsASentence) {
  worker::Link link(4);
  worker::Link* links[] = {&link};
  std::vector<std::string> sentences;
  PortEvents events(links, {{.name = "san0", .capabilities = {}}},
                    [&](const std::string& sentence) { sentences.push_back(sentence); });
  links[0] = nullptr;  // the caller's list is gone, the link is not
  EXPECT_FALSE(events.has_news());
  EXPECT_FALSE(events.poll());
  EXPECT_EQ(events.state(0), PortState::up);

  link.ports[0] = worker::port_word(PortState::down, 1);
  EXPECT_TRUE(events.has_news());
  EXPECT_TRUE(events.poll());
  EXPECT_FALSE(events.has_news());
  EXPECT_EQ(events.state(0), PortState::down);
  link.ports[0] = worker::port_word(PortState::up, 2);
  EXPECT_TRUE(events.poll());
  // Down and up again between two looks.
  link.ports[0] = worker::port_word(PortState::up, 4);
  EXPECT_TRUE(events.poll());
  EXPECT_EQ(events.changes(0), 4u);
  link.ports[0] = worker::port_word(PortState::removed, 5);
  EXPECT_TRUE(events.poll());
  ASSERT_EQ(sentences.size(), 4u);
  EXPECT_EQ(sentences[0], "port san0: the link is down; its connections wait");
  EXPECT_EQ(sentences[1], "port san0: the link is up again");
  EXPECT_EQ(sentences[2], "port san0: the link is up again after 2 changes");
  EXPECT_EQ(sentences[3], "port san0: the device is gone; its connections have ended");
}

}  // namespace
}  // namespace pollux::service
