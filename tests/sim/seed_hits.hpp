// What simulation seeds have gone through, in one table: misfortunes, ways of recovery, states. A
// row that stays at zero over many seeds is a test that tests nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/sim/seed_ends.hpp"

namespace pollux::sim {

/// What one finished seed leaves to be counted.
struct SeedRecord {
  const SeedPlan* plan = nullptr;
  const SimWire* wire = nullptr;
  std::vector<const EngineSide*> engines;
  const ReferencePeer* peer = nullptr;
  std::array<std::uint64_t, kIncidentKinds> incidents{};
  std::uint64_t probes = 0;  ///< kept here by the run
  std::uint64_t bytes = 0;
  [[nodiscard]] std::uint64_t wire_hits(std::uint64_t WireHits::*member) const {
    return wire->hits(0).*member + wire->hits(1).*member;
  }
  /// By the name of its row in tcp::kCounterRows.
  [[nodiscard]] std::uint64_t tcp(std::string_view name) const;
  [[nodiscard]] std::uint64_t net(std::string_view name) const;
};

struct HitRow {
  std::string_view group;
  std::string_view name;
  std::uint64_t (*count)(const SeedRecord& record);
};

[[nodiscard]] std::span<const HitRow> hit_rows();
/// Misfortunes of any kind that one seed has had.
[[nodiscard]] std::uint64_t faults_of(const SeedRecord& record);

class HitTable {
 public:
  HitTable() : sums_(hit_rows().size()) {}
  void add(const SeedRecord& record) {
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += hit_rows()[i].count(record);
  }
  [[nodiscard]] const std::vector<std::uint64_t>& sums() const { return sums_; }

 private:
  std::vector<std::uint64_t> sums_;
};

}  // namespace pollux::sim
