#include "dataplane/net/address_claim.hpp"

namespace pollux::net {

AddressClaim::AddressClaim(const AddressClaimOptions& options, std::uint64_t seed,
                           Instant start) noexcept
    : options_(options), random_(seed) {
  options.detect_conflicts ? start_probing(start) : start_announcing(start);
}

Duration AddressClaim::random_below(Duration bound) noexcept {
  constexpr std::int64_t kSteps = 1000;
  return bound / kSteps * random_.below(kSteps);
}

void AddressClaim::start_probing(Instant now) noexcept {
  state_ = AddressState::probing;
  left_ = kProbes;
  deadline_ = link_up_ ? now + random_below(kProbeWait) : kNever;
}

void AddressClaim::start_announcing(Instant now) noexcept {
  left_ = options_.announce ? kAnnouncements : 0;
  deadline_ = options_.announce ? now : kNever;
}

AddressClaim::Action AddressClaim::on_deadline(Instant now) noexcept {
  if (state_ == AddressState::conflict) start_probing(now);
  if (state_ == AddressState::probing) {
    if (now < deadline_) return Action::none;
    if (left_ != 0) {
      --left_;
      deadline_ =
          now + (left_ == 0 ? kAnnounceWait : kProbeMin + random_below(kProbeMax - kProbeMin));
      return Action::probe;
    }
    state_ = AddressState::usable;
    start_announcing(now);
  }
  if (left_ == 0) return Action::none;
  --left_;
  deadline_ = left_ == 0 ? kNever : now + kAnnounceInterval;
  return Action::announce;
}

bool AddressClaim::on_conflict(Instant now) noexcept {
  if (state_ != AddressState::probing) return false;
  state_ = AddressState::conflict;
  left_ = 0;
  deadline_ = now + kRateLimitInterval;
  return true;
}

void AddressClaim::on_link_down() noexcept {
  link_up_ = false;
  if (state_ == AddressState::probing) deadline_ = kNever;
}

/// RFC 5227 2.1: a check follows when a link comes up; probes from before may have reached nobody.
/// An address in use is only announced: another port of a switch may be where the frames come in
/// now, and RFC 5227 2.3 lets neighbours learn it. Sessions are not stopped for a new round of
/// probes: whoever took the address meanwhile answers the announcement, and that is counted.
void AddressClaim::on_link_up(Instant now) noexcept {
  link_up_ = true;
  if (state_ == AddressState::probing) start_probing(now);
  if (state_ == AddressState::usable) start_announcing(now);
}

}  // namespace pollux::net
