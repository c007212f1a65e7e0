#include "control/service/isid_store.hpp"

#include <algorithm>
#include <utility>

#include "control/session/isid.hpp"

namespace pollux::service {
namespace {

/// Indices we choose are below this; a UniqueIdForISID that was asked for is added to it.
constexpr std::uint32_t kWantedIndexBase = 0x10000;

}  // namespace

IsidStore::IsidStore(std::map<IsidKey, wire::Isid> isids, std::uint16_t qualifier, Random& random,
                     std::function<void(const std::map<IsidKey, wire::Isid>&)> save)
    : isids_(std::move(isids)), qualifier_(qualifier), random_(random), save_(std::move(save)) {}

std::optional<IsidStore::Lease> IsidStore::lease(const std::string& initiator,
                                                 const std::string& target,
                                                 std::optional<std::uint16_t> wanted) {
  std::uint32_t index = wanted ? kWantedIndexBase + *wanted : 0;
  if (!wanted) {
    while (leased_.contains({initiator, target, index})) {
      if (++index == kWantedIndexBase) return std::nullopt;
    }
  }
  const IsidKey key{initiator, target, index};
  if (!leased_.insert(key).second) return std::nullopt;
  if (const auto known = isids_.find(key); known != isids_.end()) return Lease{index, known->second};
  const auto is_taken = [this](const wire::Isid& isid) {
    return std::any_of(isids_.begin(), isids_.end(),
                       [&](const auto& entry) { return entry.second == isid; });
  };
  wire::Isid isid{};
  do {
    isid = session::make_random_isid(static_cast<std::uint32_t>(random_.next()) & 0xff'ffff,
                                     wanted.value_or(qualifier_));
  } while (is_taken(isid));  // 2^24 values against the few thousand ever stored
  isids_[key] = isid;
  if (save_) save_(isids_);
  return Lease{index, isid};
}

void IsidStore::give_back(const std::string& initiator, const std::string& target,
                          std::uint32_t index) {
  leased_.erase({initiator, target, index});
}

}  // namespace pollux::service
