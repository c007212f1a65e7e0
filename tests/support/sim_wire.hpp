// A virtual wire with two ends and virtual time. Every misfortune of a network is a seeded decision
// of the wire, and each kind that happened is counted, so a test can show that it has tested
// something. An end without a SimPort is a script: it injects frames and takes what arrives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "dataplane/base/random.hpp"
#include "dataplane/base/time.hpp"
#include "tests/support/pcapng_writer.hpp"

namespace pollux::sim {

class SimPort;
using Frame = std::vector<std::byte>;

/// Faults of one direction. Probabilities are in parts per million and per frame.
struct WireFaults {
  std::uint32_t drop_ppm = 0;
  std::uint32_t burst_enter_ppm = 0;  ///< Gilbert-Elliott: good to bad
  std::uint32_t burst_leave_ppm = 0;  ///< bad to good; half a second without a frame is as good
  std::uint32_t burst_drop_ppm = 0;   ///< loss while bad
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t reorder_ppm = 0;  ///< the frame arrives reorder_delay late, others overtake it
  Duration reorder_delay = 200us;
  std::uint32_t corrupt_ppm = 0;        ///< one bit anywhere
  std::uint32_t corrupt_fixed_ppm = 0;  ///< one bit of the TCP data, checksum made right again
  std::uint32_t truncate_ppm = 0;
  std::size_t mark_above_bytes = 0;    ///< RFC 3168 5: CE once so much waits for the rate; 0: never
  Duration delay = 5us;                ///< propagation
  Duration jitter = Duration::zero();  ///< adds 0 to this; order is kept
  std::uint64_t bits_per_second = 0;   ///< 0: no limit
  std::size_t queue_bytes = 256 * 1024;  ///< in front of the rate limit; more is dropped
};

/// What a test decides about one frame.
enum class Fate : std::uint8_t { pass, drop, duplicate, delay };

/// How often each thing happened in one direction.
struct WireHits {
  std::uint64_t sent = 0, delivered = 0;
  std::uint64_t dropped = 0, burst_dropped = 0, nth_dropped = 0, predicate_dropped = 0;
  std::uint64_t queue_dropped = 0, link_dropped = 0;
  std::uint64_t duplicated = 0, reordered = 0, jittered = 0, paused = 0;
  std::uint64_t corrupted = 0, corrupted_fixed = 0, truncated = 0;
  std::uint64_t marked = 0, stale_mac = 0, stripped = 0;
};

/// A direction is named by the end that sends: 0 or 1.
class SimWire {
 public:
  SimWire(std::uint64_t seed, Instant start);
  ~SimWire();
  SimWire(const SimWire&) = delete;
  SimWire& operator=(const SimWire&) = delete;

  [[nodiscard]] Instant now() const noexcept { return now_; }
  /// When something arrives or completes next; kNever when nothing is under way.
  [[nodiscard]] Instant next_event() const noexcept;
  /// Moves time; everything due until then happens in order of time.
  void advance(Instant to);

  WireFaults& faults(std::size_t from) noexcept { return directions_[from].faults; }
  [[nodiscard]] const WireHits& hits(std::size_t from) const noexcept {
    return directions_[from].hits;
  }
  /// Every chance of a fault back to zero in both directions; delays and rates stay.
  void heal() noexcept;

  /// The n-th frame sent from now on in this direction (1 is the next one) is lost.
  void drop_nth(std::size_t from, std::uint64_t n);
  /// Frames for which this is true are lost; empty function: none.
  void drop_if(std::size_t from, std::function<bool(std::span<const std::byte>)> predicate);
  /// Decides about every frame before the chances of WireFaults; delay: by reorder_delay.
  void decide(std::function<Fate(std::size_t from, std::span<const std::byte>)> decider) {
    decider_ = std::move(decider);
  }
  /// Sees every frame that is sent, before any fault.
  void watch(std::function<void(std::size_t from, Instant, std::span<const std::byte>)> watcher);
  /// Frames are held back, and go on in order when the pause ends.
  void set_paused(std::size_t from, bool paused);
  void set_link(bool up) noexcept { link_up_ = up; }
  [[nodiscard]] bool link_up() const noexcept { return link_up_; }
  /// From now on the end has another hardware address: what is sent to the former one is lost. The
  /// device at that end does not notice, the wire translates (array fail-over, IPv4 and ARP only).
  /// With `announce` a gratuitous ARP for `address` goes out, subject to all faults.
  void change_mac(std::size_t end, const std::array<std::uint8_t, 6>& own,
                  const std::array<std::uint8_t, 6>& shown,
                  std::span<const std::uint8_t, 4> address, bool announce);
  /// As a middlebox does: these kinds of option are blanked in SYNs of both directions.
  void strip_syn_options(std::vector<std::uint8_t> kinds) { stripped_kinds_ = std::move(kinds); }
  /// What is sent (before any fault) is recorded. False when the file cannot be made.
  bool record(const std::string& path);

  /// Sends a frame as the end `from`.
  void send(std::size_t from, Frame frame);
  /// At an end without a port: the oldest frame that arrived and was not taken yet.
  std::optional<Frame> take(std::size_t end);
  [[nodiscard]] std::size_t arrived(std::size_t end) const noexcept { return inbox_[end].size(); }

  void attach(std::size_t end, SimPort& port) noexcept;
  void detach(std::size_t end) noexcept;
  [[nodiscard]] std::uint64_t seed_for(std::size_t end) const noexcept {
    return seed_ ^ (0x51ee'd000 + end);
  }

 private:
  struct Direction {
    explicit Direction(std::uint64_t seed) : random(seed) {}
    WireFaults faults;
    WireHits hits;
    Random random;
    bool burst_bad = false;
    Instant last_frame_at{};
    bool paused = false;
    std::deque<Frame> held;
    std::set<std::uint64_t> drop_at;  // numbers of hits.sent
    std::function<bool(std::span<const std::byte>)> drop_if;
    Instant idle_at{};  // when the rate limiter has sent all it holds
    Instant last_arrival{};
    std::multimap<Instant, Frame> under_way;
  };
  /// What an end calls itself and what the other end knows it as.
  struct Alias {
    bool on = false;
    std::array<std::uint8_t, 6> own{};
    std::array<std::uint8_t, 6> shown{};
  };

  void carry(std::size_t from, Frame frame, bool late = false);
  bool lost(Direction& direction, std::span<const std::byte> frame);
  void damage(Direction& direction, Frame& frame);
  void arrive(std::size_t end, Frame frame);
  /// False: the frame is addressed to a former address of the other end.
  bool translate(std::size_t from, Frame& frame);
  void strip(Direction& direction, Frame& frame);
  void mark(Direction& direction, Frame& frame, std::uint64_t backlog_bytes);

  std::uint64_t seed_;
  Instant now_;
  bool link_up_ = true;
  Direction directions_[2];
  SimPort* ports_[2]{};
  std::deque<Frame> inbox_[2];
  Alias aliases_[2];
  std::vector<std::uint8_t> stripped_kinds_;
  std::function<void(std::size_t, Instant, std::span<const std::byte>)> watcher_;
  std::function<Fate(std::size_t, std::span<const std::byte>)> decider_;
  std::optional<PcapngWriter> recorder_;
};

}  // namespace pollux::sim
