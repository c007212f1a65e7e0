// Records of a SendTargets answer. See discovery.hpp.
#include "control/session/discovery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "control/session/iscsi_name.hpp"
#include "control/session/login_status.hpp"
#include "dataplane/wire/text.hpp"

namespace pollux::session {
namespace {

class RecordCollector {
 public:
  RecordCollector(DiscoveryResult& result, const TargetAddress& current)
      : result_(result), current_(current) {}

  void on_name(std::string_view value) {
    end_record();
    FoldedName folded = fold_iscsi_name(value);
    place_ = folded.verdict == NameVerdict::ok ? Place::in_record : Place::in_bad_record;
    if (place_ == Place::in_bad_record) {
      ++result_.names_dropped;
      return;
    }
    // DSC-20: a name that came before is the same target with more portals.
    const auto [entry, is_new] = index_by_name_.try_emplace(folded.name, result_.targets.size());
    if (is_new) result_.targets.push_back({std::move(folded.name), {}});
    target_index_ = entry->second;
    has_addresses_ = false;
  }

  void on_address(std::string_view value) {
    if (place_ == Place::in_bad_record) return;  // counted with its name
    if (place_ == Place::before_names) {         // DSC-08
      ++result_.addresses_dropped;
      return;
    }
    has_addresses_ = true;
    auto address = parse_target_address(value);
    if (!address || !add(std::move(*address))) ++result_.addresses_dropped;
  }

  void on_end() {
    end_record();
    const auto has_no_portal = [](const DiscoveredTarget& t) { return t.portals.empty(); };
    result_.names_dropped +=
        static_cast<std::uint32_t>(std::erase_if(result_.targets, has_no_portal));
  }

 private:
  enum class Place : std::uint8_t { before_names, in_record, in_bad_record };

  void end_record() {
    if (place_ == Place::in_record && !has_addresses_) {
      if (!add(current_)) ++result_.addresses_dropped;
    }
  }

  // False when the target has too many portals already. A repeated portal is merged.
  bool add(TargetAddress address) {
    std::vector<TargetAddress>& portals = result_.targets[target_index_].portals;
    if (std::find(portals.begin(), portals.end(), address) != portals.end()) return true;
    if (portals.size() >= kPortalsPerTargetMax) return false;
    portals.push_back(std::move(address));
    return true;
  }

  DiscoveryResult& result_;
  const TargetAddress& current_;
  std::unordered_map<std::string, std::size_t> index_by_name_;
  std::size_t target_index_ = 0;
  Place place_ = Place::before_names;
  bool has_addresses_ = false;
};

}  // namespace

DiscoveryResult parse_send_targets(std::span<const std::byte> text, const TargetAddress& current) {
  DiscoveryResult result;
  RecordCollector collector{result, current};
  wire::TextSplitter splitter{text};
  while (const auto pair = splitter.next()) {
    if (pair->key == "TargetName") {
      collector.on_name(pair->value);
    } else if (pair->key == "TargetAddress") {
      collector.on_address(pair->value);
    } else if (pair->key == "SendTargets") {
      result.verdict = DiscoveryVerdict::key_refused;
      result.sentence = "the target does not answer SendTargets";
      result.isdsc = isdsc::kInvalidTextKey;
    } else {
      ++result.foreign_keys;
    }
  }
  collector.on_end();
  if (splitter.verdict() != wire::TextVerdict::ok) {
    result.verdict = DiscoveryVerdict::malformed_text;
    result.sentence = fmt::format("the target's answer to SendTargets holds {}",
                                  wire::text_verdict_words(splitter.verdict()));
    result.isdsc = isdsc::kInvalidSendTargetsText;
  }
  return result;
}

}  // namespace pollux::session
