// Which ISID a session uses. The same initiator and target get the same ISIDs in every run, the lowest
// index that no live session holds, so that a login after a crash reinstates the session it replaces
// (RFC 7143 6.3.5) and persistent reservations keep their owner.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "control/service/state_directory.hpp"
#include "dataplane/base/random.hpp"

namespace pollux::service {

class IsidStore {
 public:
  /// `save` gets all ISIDs whenever one was added; may be empty.
  IsidStore(std::map<IsidKey, wire::Isid> isids, std::uint16_t qualifier, Random& random,
            std::function<void(const std::map<IsidKey, wire::Isid>&)> save);

  struct Lease {
    std::uint32_t index = 0;
    wire::Isid isid{};
  };
  /// `wanted` is a UniqueIdForISID: that ISID or nothing, when a live session has it already.
  [[nodiscard]] std::optional<Lease> lease(const std::string& initiator, const std::string& target,
                                           std::optional<std::uint16_t> wanted);
  void give_back(const std::string& initiator, const std::string& target, std::uint32_t index);

 private:
  std::map<IsidKey, wire::Isid> isids_;
  std::set<IsidKey> leased_;
  std::uint16_t qualifier_;
  Random& random_;
  std::function<void(const std::map<IsidKey, wire::Isid>&)> save_;
};

}  // namespace pollux::service
