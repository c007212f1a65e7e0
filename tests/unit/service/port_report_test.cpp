// What people and programs hear about ports: the table, and a sentence for each change of a link.
#include "control/service/port_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

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

using net::AddressState;
using net::Ipv6State;

class AddressEvents : public ::testing::Test {
 protected:
  void set(std::size_t worker, const worker::AddressReport& report) {
    links[worker]->addresses[0] = worker::address_word(report, ++changes);
  }
  /// What is said of the latest changes.
  std::vector<std::string> heard() {
    EXPECT_TRUE(events.has_news());
    EXPECT_TRUE(events.poll());
    EXPECT_FALSE(events.has_news());
    return std::exchange(sentences, {});
  }
  worker::Link first{4}, second{4};
  std::array<worker::Link*, 2> links{&first, &second};
  std::uint32_t changes = 0;
  std::vector<std::string> sentences;
  const net::IpAddress address = net::IpAddress::v4(10, 99, 0, 2);
  PortEvents events{links,
                    {{.name = "san0", .address = address, .capabilities = {}},
                     {.name = "san0", .worker = 1, .address = address, .capabilities = {}}},
                    [this](const std::string& sentence) { sentences.push_back(sentence); }};
};

TEST_F(AddressEvents, AConflictIsToldOnceAndSoIsItsEnd) {
  for (std::size_t worker : {0u, 1u}) set(worker, {.ipv4 = AddressState::probing});
  EXPECT_TRUE(heard().empty()) << "nothing has been found yet";
  EXPECT_EQ(ipv4_words(events.addresses("san0")), "being checked for another user");
  set(0, {});
  EXPECT_TRUE(heard().empty());
  EXPECT_EQ(events.addresses("san0").ipv4, AddressState::probing) << "the worst of the workers";
  set(1, {.ipv4 = AddressState::conflict});
  ASSERT_EQ(heard(), std::vector<std::string>{"port san0: another station on the link has "
                                              "10.99.0.2, so it is not used; asked again every "
                                              "minute"});
  EXPECT_EQ(ipv4_words(events.addresses("san0")), "not used: another station on the link has it");
  for (int round = 0; round < 3; ++round) {
    set(1, {.ipv4 = AddressState::probing});
    EXPECT_TRUE(heard().empty());
    set(1, {.ipv4 = AddressState::conflict});
    EXPECT_TRUE(heard().empty()) << "known";
  }
  set(1, {});
  ASSERT_EQ(heard(), std::vector<std::string>{
                         "port san0: nobody else has 10.99.0.2 any more: it is in use"});
  EXPECT_EQ(ipv4_words(events.addresses("san0")), "in use");
  EXPECT_EQ(events.addresses("other"), worker::AddressReport{});
}

TEST_F(AddressEvents, AnAddressInUseThatAnotherStationUsesToo) {
  set(0, {.ipv4_contested = true});
  ASSERT_EQ(heard(), std::vector<std::string>{"port san0: 10.99.0.2 is in use, and another station "
                                              "on the link uses it too"});
  EXPECT_EQ(ipv4_words(events.addresses("san0")),
            "in use, and another station on the link uses it too");
  set(0, {});
  ASSERT_EQ(heard().size(), 1u);
}

TEST_F(AddressEvents, OfIpv6TheDuplicateIsToldAndTheUsualIsNot) {
  for (std::size_t worker : {0u, 1u}) set(worker, {.ipv6 = Ipv6State::checking});
  EXPECT_TRUE(heard().empty());
  set(0, {.ipv6 = Ipv6State::ready});
  EXPECT_TRUE(heard().empty());
  EXPECT_EQ(ipv6_words(events.addresses("san0")), "being checked for duplicates");
  set(1, {.ipv6 = Ipv6State::duplicate});
  ASSERT_EQ(heard().size(), 1u);
  EXPECT_NE(ipv6_words(events.addresses("san0")).find("duplicate"), std::string_view::npos);
  set(0, {.ipv6 = Ipv6State::ready, .ipv6_contested = true});
  ASSERT_EQ(heard().size(), 1u);
  for (std::size_t worker : {0u, 1u}) set(worker, {.ipv6 = Ipv6State::ready});
  EXPECT_EQ(heard().size(), 2u);
  EXPECT_EQ(ipv6_words(events.addresses("san0")), "ready");
}

TEST(AddressWord, HoldsEveryReport) {
  for (unsigned bits = 0; bits < 48; ++bits) {
    const worker::AddressReport report{.ipv4 = static_cast<AddressState>(bits % 3),
                                       .ipv6 = static_cast<Ipv6State>(bits / 3 % 4),
                                       .ipv4_contested = bits / 12 % 2 != 0,
                                       .ipv6_contested = bits / 24 != 0};
    const std::uint32_t word = worker::address_word(report, 77 + bits);
    EXPECT_EQ(worker::address_report(word), report);
    EXPECT_EQ(worker::port_changes(word), 77 + bits);
  }
}

}  // namespace
}  // namespace pollux::service
