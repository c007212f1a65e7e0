// The two kinds of end that a simulation seed has: an engine with everything below it, and the
// reference peer. Both carry the same traffic.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/seed_plan.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/stream_content.hpp"

namespace pollux::sim {

/// One connection as the owner at one end sees it. Bytes are named by their place in a stream.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;
  [[nodiscard]] virtual bool established() const = 0;
  [[nodiscard]] virtual bool peer_closed() const = 0;
  /// Nothing more will come or go, and it was seen so by the owner.
  [[nodiscard]] virtual bool over() const = 0;
  [[nodiscard]] virtual bool was_aborted() const = 0;
  /// Queues bytes of the sent stream from `position` on; returns how many were taken.
  virtual std::uint64_t write(std::uint64_t position, std::uint64_t length) = 0;
  /// Takes what has come, compares it, returns how much.
  virtual std::uint64_t read(std::uint64_t position) = 0;
  virtual void close(Instant now) = 0;
  virtual void abort(Instant now) = 0;
};

/// One end of the wire.
class Side {
 public:
  virtual ~Side() = default;
  virtual std::size_t turn(Instant now) = 0;
  virtual std::size_t send(Instant now) = 0;
  [[nodiscard]] virtual Instant next_deadline() const = 0;
  [[nodiscard]] virtual StreamEnd& stream(std::size_t connection) = 0;
  virtual void open(std::size_t connection, Instant now) = 0;
  virtual void set_pool_empty(bool empty) = 0;
  /// After everything: what was not given back, or nothing.
  [[nodiscard]] virtual std::string leftovers() const = 0;
  [[nodiscard]] virtual bool quiet() const = 0;  ///< no connection is left
  std::string complaint;
  Instant stalled_until{};
};

class EngineSide;

class EngineStream final : public StreamEnd {
 public:
  EngineStream(EngineSide& side, std::uint64_t sent, std::uint64_t received, Random random);
  [[nodiscard]] bool established() const override { return established_; }
  [[nodiscard]] bool peer_closed() const override { return peer_closed_; }
  [[nodiscard]] bool over() const override { return released_; }
  [[nodiscard]] bool was_aborted() const override;
  std::uint64_t write(std::uint64_t position, std::uint64_t length) override;
  std::uint64_t read(std::uint64_t position) override;
  void close(Instant now) override;
  void abort(Instant now) override;

  void on_event(const tcp::Event& event);
  /// Frees the slot once the connection has ended and all was read.
  void release_if_ended();
  /// Memory that was written from and is free again is overwritten, so that late readers show.
  void reuse_buffers();
  [[nodiscard]] std::uint32_t references() const;
  [[nodiscard]] tcp::EndReason reason() const { return reason_; }
  tcp::ConnectionId id;

 private:
  static constexpr std::size_t kBuffers = 4;
  static constexpr std::size_t kBufferBytes = 16 * 1024;
  struct Buffer {
    std::vector<std::byte> bytes;
    tcp::SendReference reference;
    std::size_t tracker = 0;
    bool busy = false;
  };
  std::uint64_t write_piece(std::uint64_t position, std::uint64_t length);
  void check(std::uint64_t position, std::span<const std::byte> bytes);

  EngineSide& side_;
  std::uint64_t sent_stream_, received_stream_;
  Random random_;
  std::array<Buffer, kBuffers> buffers_;
  tcp::SendReference reference_;  // of everything sent out of the content block
  bool established_ = false, peer_closed_ = false, ended_ = false, released_ = false;
  tcp::EndReason reason_ = tcp::EndReason::none;
};

class EngineSide final : public Side, private tcp::Listener {
 public:
  EngineSide(SimWire& wire, std::size_t end, const SeedPlan& plan);
  std::size_t turn(Instant now) override;
  std::size_t send(Instant now) override;
  [[nodiscard]] Instant next_deadline() const override;
  [[nodiscard]] StreamEnd& stream(std::size_t connection) override { return *streams_[connection]; }
  void open(std::size_t connection, Instant now) override;
  void set_pool_empty(bool empty) override;
  [[nodiscard]] std::string leftovers() const override;
  [[nodiscard]] bool quiet() const override;

  TcpHost host;
  EngineChecks checks;

 private:
  bool on_syn(const net::Endpoint& local, const net::Endpoint& remote,
              tcp::OpenRequest& fill) noexcept override;

  std::size_t end_;
  const SeedPlan& plan_;
  std::vector<std::unique_ptr<EngineStream>> streams_;
};

class PeerSide final : public Side, public StreamEnd {
 public:
  PeerSide(SimWire& wire, const SeedPlan& plan, SegmentAudit& audit);
  std::size_t turn(Instant now) override;
  std::size_t send(Instant) override { return 0; }
  [[nodiscard]] Instant next_deadline() const override { return peer.next_deadline(); }
  [[nodiscard]] StreamEnd& stream(std::size_t) override { return *this; }
  void open(std::size_t connection, Instant now) override;
  void set_pool_empty(bool) override {}
  [[nodiscard]] std::string leftovers() const override { return {}; }
  [[nodiscard]] bool quiet() const override;

  [[nodiscard]] bool established() const override { return peer.was_established(); }
  [[nodiscard]] bool peer_closed() const override { return peer.peer_closed(); }
  [[nodiscard]] bool over() const override;
  [[nodiscard]] bool was_aborted() const override { return aborted_ || peer.was_reset(); }
  std::uint64_t write(std::uint64_t position, std::uint64_t length) override;
  std::uint64_t read(std::uint64_t position) override;
  void close(Instant now) override;
  void abort(Instant now) override;

  ReferencePeer peer;

 private:
  const SeedPlan& plan_;
  bool aborted_ = false;
};

}  // namespace pollux::sim
