// A port that passes everything through and looks at what arrives: echo replies, and whether the
// device's verdict on checksums is true. It can also pretend that the device computes no checksum,
// so that one frame can be sent both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/platform/port.hpp"

namespace pollux::selftest {

/// An ICMP echo reply (RFC 792) that came back whole.
struct EchoReply {
  std::uint16_t identifier = 0;
  std::uint16_t sequence = 0;
  std::size_t ip_bytes = 0;
};

/// What the device said about received TCP and IPv4 checksums, against our own sum.
struct ChecksumVerdicts {
  std::uint64_t frames = 0;  ///< the device said something
  std::uint64_t agreed = 0;
  std::uint64_t wrong = 0;  ///< it called good what is bad, or the other way round
};

class SpyPort final : public platform::Port {
 public:
  /// `inner` outlives it.
  explicit SpyPort(platform::Port& inner) : inner_(inner), info_(inner.info()) {}

  /// False: the stack above computes sums in software from now on.
  void use_offload(bool use) noexcept;
  [[nodiscard]] const std::vector<EchoReply>& replies() const noexcept { return replies_; }
  [[nodiscard]] const ChecksumVerdicts& verdicts() const noexcept { return verdicts_; }

  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return info_; }
  [[nodiscard]] const platform::Capabilities* capabilities() const noexcept override {
    return inner_.capabilities();
  }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override;
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override {
    return inner_.transmit(segments);
  }
  void reclaim() noexcept override { inner_.reclaim(); }
  [[nodiscard]] platform::PortState check() noexcept override { return inner_.check(); }
  void shut() noexcept override { inner_.shut(); }

 private:
  void look_at(std::span<const std::byte> frame, unsigned flags);

  platform::Port& inner_;
  platform::PortInfo info_;
  std::vector<EchoReply> replies_;
  ChecksumVerdicts verdicts_;
};

}  // namespace pollux::selftest
