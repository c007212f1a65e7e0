// Choice and exchange of the authentication method. See security_stage.hpp.
#include "control/session/security_stage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "control/session/display_text.hpp"
#include "control/session/negotiation.hpp"
#include "dataplane/base/assert.hpp"

namespace pollux::session {
namespace {

constexpr std::string_view kAuthMethod = "AuthMethod";
constexpr std::size_t kShownBytesMax = 64;

}  // namespace

std::optional<std::string> NoAuthentication::on_pair(const wire::TextPair& pair,
                                                     std::vector<std::byte>&) {
  return fmt::format("the target sent {} although no authentication was agreed",
                     printable(pair.key, kShownBytesMax));
}

SecurityStage::SecurityStage(std::vector<std::unique_ptr<AuthenticationMethod>> methods)
    : methods_(std::move(methods)) {
  POLLUX_ASSERT(!methods_.empty());
}

bool SecurityStage::owns(std::string_view key) noexcept {
  return key == kAuthMethod || key == "TargetAuth" || key.starts_with("CHAP_") ||
         key.starts_with("SRP_") || key.starts_with("KRB_");
}

void SecurityStage::append_offer(std::vector<std::byte>& text) const {
  std::string list;
  for (const auto& method : methods_) {
    if (!list.empty()) list += ',';
    list += method->name();
  }
  append_pair(text, kAuthMethod, list);
}

SecurityVerdict SecurityStage::on_pair(const wire::TextPair& pair,
                                       std::vector<std::byte>& answers) {
  if (pair.key == kAuthMethod) return on_choice(pair.value, answers);
  if (chosen_ == nullptr) {
    return {SecurityFault::protocol_error,
            fmt::format("the target sent {} before an authentication method was agreed",
                        printable(pair.key, kShownBytesMax))};
  }
  if (auto sentence = chosen_->on_pair(pair, answers)) {
    return {SecurityFault::protocol_error, std::move(*sentence)};
  }
  return {};
}

// LOG-44: the answer is one value of our list. Everything else ends the login.
SecurityVerdict SecurityStage::on_choice(std::string_view value, std::vector<std::byte>& answers) {
  if (is_answered_) {
    return {SecurityFault::protocol_error, "the target sent AuthMethod twice in one login"};
  }
  is_answered_ = true;
  const auto method = std::find_if(methods_.begin(), methods_.end(),
                                   [&](const auto& m) { return m->name() == value; });
  if (method == methods_.end()) {
    const std::string shown = printable(value, kShownBytesMax);
    if (value == "Reject") {
      return {SecurityFault::method_refused,
              "the target accepts none of the authentication methods offered"};
    }
    return {SecurityFault::method_refused,
            fmt::format("the target asks for AuthMethod={}, which was not offered", shown)};
  }
  chosen_ = method->get();
  chosen_->begin(answers);
  return {};
}

bool SecurityStage::offers_none_only() const noexcept {
  return methods_.size() == 1 && methods_.front()->name() == "None";
}

bool SecurityStage::may_transit() const noexcept {
  return chosen_ == nullptr ? offers_none_only() : chosen_->is_complete();
}

bool SecurityStage::may_end() const noexcept {
  if (chosen_ != nullptr) return chosen_->is_complete();
  return std::any_of(methods_.begin(), methods_.end(),
                     [](const auto& m) { return m->name() == "None"; });
}

}  // namespace pollux::session
