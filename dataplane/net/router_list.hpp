// What Router Advertisements have told: default routers and the prefixes that are on our link, each
// for as long as it was promised. Read first: RFC 4861 6.3.4 to 6.3.6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/net/nd_messages.hpp"
#include "dataplane/net/nd_table.hpp"

namespace pollux::net {

class RouterList {
 public:
  static constexpr std::size_t kRoutersMax = 4;
  static constexpr std::size_t kPrefixesMax = 8;

  explicit RouterList(Counters& counters) noexcept : counters_(counters) {}

  void on_advertisement(const IpAddress& router, const RouterInput& input, Instant now) noexcept;
  void remove_router(const IpAddress& router) noexcept;

  [[nodiscard]] bool on_link(const IpAddress& destination) const noexcept;
  [[nodiscard]] bool has_router() const noexcept { return router_count_ != 0; }
  /// RFC 4861 6.3.6: one that is not known to be unreachable, else the next in turn. nullptr: none.
  [[nodiscard]] const IpAddress* choose(const NdTable& neighbours) noexcept;

  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept { return next_deadline_; }
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }

 private:
  struct Router {
    IpAddress address;
    Instant until{};
  };
  struct Prefix {
    IpAddress prefix;
    std::uint8_t length = 0;
    Instant until{};
  };

  void take_prefix(const wire::NdPrefixOption& option, Instant now) noexcept;
  void update_deadline() noexcept;

  Counters& counters_;
  std::uint32_t generation_ = 0;
  Instant next_deadline_ = kNever;
  std::size_t router_count_ = 0;
  std::size_t prefix_count_ = 0;
  std::size_t turn_ = 0;
  std::array<Router, kRoutersMax> routers_{};
  std::array<Prefix, kPrefixesMax> prefixes_{};
};

}  // namespace pollux::net
