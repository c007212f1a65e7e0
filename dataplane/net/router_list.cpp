#include "dataplane/net/router_list.hpp"

#include <algorithm>

namespace pollux::net {

namespace {

constexpr std::uint32_t kForEver = 0xffff'ffff;
constexpr unsigned kPrefixLengthMax = 128;

}  // namespace

void RouterList::on_advertisement(const IpAddress& router, const RouterInput& input,
                                  Instant now) noexcept {
  const Duration lifetime = std::chrono::seconds(input.message.router_lifetime.get());
  if (lifetime == Duration::zero()) {
    remove_router(router);
  } else {
    std::size_t index = 0;
    while (index < router_count_ && !(routers_[index].address == router)) ++index;
    if (index == router_count_ && router_count_ < kRoutersMax) {
      ++router_count_;
      ++generation_;
    }
    if (index < router_count_)
      routers_[index] = {router, now + lifetime};
    else
      counters_.ra_table_full.add();
  }
  for (std::size_t i = 0; i < input.options.prefix_count; ++i)
    if ((input.options.prefixes[i].flags & wire::NdPrefixOption::kOnLink) != 0)
      take_prefix(input.options.prefixes[i], now);
  update_deadline();
}

void RouterList::take_prefix(const wire::NdPrefixOption& option, Instant now) noexcept {
  if (wire::is_ipv6_link_local(option.prefix) || wire::is_ipv6_multicast(option.prefix) ||
      option.prefix_length > kPrefixLengthMax || option.prefix_length == 0) {
    counters_.ra_prefix_ignored.add();
    return;
  }
  const auto same = [&](const Prefix& known) {
    return known.length == option.prefix_length &&
           wire::same_ipv6_prefix(known.prefix.bytes, option.prefix, known.length);
  };
  const auto end = prefixes_.begin() + static_cast<std::ptrdiff_t>(prefix_count_);
  const auto at = std::find_if(prefixes_.begin(), end, same);
  const std::uint32_t valid = option.valid_lifetime.get();
  const Instant until = valid == kForEver ? kNever : now + std::chrono::seconds(valid);
  if (at != end) {
    at->until = until;  // zero: run_timers removes it
    return;
  }
  if (valid == 0) return;
  if (prefix_count_ == kPrefixesMax) {
    counters_.ra_table_full.add();
    return;
  }
  prefixes_[prefix_count_++] = {IpAddress{option.prefix}, option.prefix_length, until};
  ++generation_;
}

void RouterList::remove_router(const IpAddress& router) noexcept {
  for (std::size_t i = router_count_; i-- > 0;) {
    if (!(routers_[i].address == router)) continue;
    routers_[i] = routers_[--router_count_];
    ++generation_;
  }
}

bool RouterList::on_link(const IpAddress& destination) const noexcept {
  for (std::size_t i = 0; i < prefix_count_; ++i)
    if (wire::same_ipv6_prefix(prefixes_[i].prefix.bytes, destination.bytes, prefixes_[i].length))
      return true;
  return false;
}

const IpAddress* RouterList::choose(const NdTable& neighbours) noexcept {
  for (std::size_t i = 0; i < router_count_; ++i) {
    const NudState* state = neighbours.state(routers_[i].address);
    if (state != nullptr && *state != NudState::unreachable && *state != NudState::incomplete)
      return &routers_[i].address;
  }
  for (std::size_t i = 0; i < router_count_; ++i) {
    const NudState* state = neighbours.state(routers_[i].address);
    if (state == nullptr || *state == NudState::incomplete) return &routers_[i].address;
  }
  if (router_count_ == 0) return nullptr;
  return &routers_[turn_++ % router_count_].address;
}

void RouterList::run_timers(Instant now) noexcept {
  if (now < next_deadline_) return;
  for (std::size_t i = router_count_; i-- > 0;) {
    if (routers_[i].until > now) continue;
    routers_[i] = routers_[--router_count_];
    ++generation_;
  }
  for (std::size_t i = prefix_count_; i-- > 0;) {
    if (prefixes_[i].until > now) continue;
    prefixes_[i] = prefixes_[--prefix_count_];
    ++generation_;
  }
  update_deadline();
}

void RouterList::update_deadline() noexcept {
  next_deadline_ = kNever;
  for (std::size_t i = 0; i < router_count_; ++i)
    next_deadline_ = std::min(next_deadline_, routers_[i].until);
  for (std::size_t i = 0; i < prefix_count_; ++i)
    next_deadline_ = std::min(next_deadline_, prefixes_[i].until);
}

}  // namespace pollux::net
