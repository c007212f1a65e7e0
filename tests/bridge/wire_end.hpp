// One end of the bridge: an Ethernet interface of some network namespace, as a file descriptor that
// gives and takes whole frames. Either a tap of our own (the kernel's stack of that namespace
// stands behind it) or a packet socket on an interface that is there (pollux's net_tap port, a
// veth).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace pollux::bridge {

/// Frames that were lost outside of the wire's own decisions. A fair comparison has none.
struct EndLosses {
  std::uint64_t read_overflow = 0;   ///< arrived faster than the bridge read
  std::uint64_t write_refused = 0;   ///< the kernel did not take them
  std::uint64_t device_dropped = 0;  ///< the interface's own count, both directions
};

class WireEnd {
 public:
  /// `spec` is "tap:NAME@NETNS" or "packet:NAME@NETNS"; "@NETNS" may be left out for the caller's
  /// own. The interface is up afterwards, with a transmit queue that holds `queue_frames`. nullptr:
  /// `error` is one sentence.
  static std::unique_ptr<WireEnd> open(const std::string& spec, unsigned queue_frames,
                                       std::string& error);
  virtual ~WireEnd() = default;

  [[nodiscard]] virtual int fd() const = 0;
  /// Hands over what has arrived, at most `most` frames. Returns how many.
  virtual std::size_t receive(std::size_t most,
                              const std::function<void(std::span<const std::byte>)>& taker) = 0;
  virtual void send(std::span<const std::byte> frame) = 0;
  [[nodiscard]] virtual EndLosses losses() = 0;
};

}  // namespace pollux::bridge
