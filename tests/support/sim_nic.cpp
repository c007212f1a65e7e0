#include "tests/support/sim_nic.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/toeplitz.hpp"

namespace pollux::sim {
namespace {

std::array<std::uint8_t, 16> mapped(std::span<const std::byte> bytes) {
  std::array<std::uint8_t, 16> address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::memcpy(address.data() + 12, bytes.data(), 4);
  return address;
}

std::uint16_t word(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) << 8 |
                                    std::to_integer<unsigned>(bytes[1]));
}

}  // namespace

class SimNic::Queue final : public platform::Port {
 public:
  Queue(SimNic& nic, HeapPacketMemory& memory) : nic_(nic), memory_(memory) {
    info_.mac = nic.options_.mac;
    info_.mtu = nic.options_.mtu;
  }
  ~Queue() { complete(kNever); }

  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return info_; }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override;
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override;
  void reclaim() noexcept override { complete(nic_.wire_.now()); }
  [[nodiscard]] platform::PortState check() noexcept override {
    return nic_.wire_.link_up() ? platform::PortState::up : platform::PortState::down;
  }
  void shut() noexcept override { complete(kNever); }

  struct Arrived {
    Frame frame;
    bool has_hash = false;
    std::uint32_t hash = 0;
  };
  std::deque<Arrived> arrived;
  std::size_t received = 0;

 private:
  struct InFlight {
    Instant due;
    void* handle = nullptr;
    platform::TxTracker* tracker = nullptr;
  };
  void complete(Instant now) noexcept;

  SimNic& nic_;
  HeapPacketMemory& memory_;
  platform::PortInfo info_;
  std::vector<InFlight> in_flight_;
};

void SimNic::Queue::complete(Instant now) noexcept {
  std::erase_if(in_flight_, [&](const InFlight& item) {
    if (item.due > now) return false;
    if (item.tracker != nullptr)
      memory_.tracker_done(*item.tracker);
    else
      memory_.release(item.handle);
    return true;
  });
}

std::size_t SimNic::Queue::receive(std::span<platform::RxSegment> segments) noexcept {
  complete(nic_.wire_.now());
  nic_.steer();
  std::size_t used = 0;
  while (!arrived.empty() && used + 2 <= segments.size()) {
    const Arrived item = std::move(arrived.front());
    arrived.pop_front();
    const std::size_t bytes = item.frame.size();
    const std::size_t cut =
        nic_.options_.scatter ? 1 + nic_.random_.below(static_cast<std::uint32_t>(bytes - 1)) : 0;
    for (const auto& [first, end] : {std::pair{std::size_t{0}, cut}, std::pair{cut, bytes}}) {
      if (first == end) continue;
      platform::FrameBuffer buffer;
      const std::size_t got = memory_.allocate_received({&buffer, 1});
      POLLUX_ASSERT(got == 1);
      std::memcpy(buffer.data, item.frame.data() + first, end - first);
      segments[used++] = {
          .data = buffer.data,
          .length = static_cast<std::uint32_t>(end - first),
          .flags = static_cast<std::uint16_t>(end < bytes ? unsigned{platform::kRxMore} : 0u),
          .handle = buffer.handle,
          .rss_hash = 0};
      if (first != 0 || !item.has_hash) continue;
      segments[used - 1].rss_hash = item.hash;
      segments[used - 1].flags |= platform::kRxHash;
    }
  }
  return used;
}

std::size_t SimNic::Queue::transmit(std::span<const platform::TxSegment> segments) noexcept {
  const std::size_t most = std::min(segments.size(), nic_.options_.transmit_most);
  std::size_t taken = 0;
  Frame frame;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    frame.insert(frame.end(), segments[i].data, segments[i].data + segments[i].length);
    if ((segments[i].flags & platform::kTxMore) != 0) continue;
    if (i + 1 > most) break;
    for (; taken <= i; ++taken) {
      if (segments[taken].tracker != nullptr) memory_.tracker_taken(*segments[taken].tracker);
      in_flight_.push_back({nic_.wire_.now() + nic_.options_.completion, segments[taken].handle,
                            segments[taken].tracker});
    }
    nic_.wire_.send(nic_.end_, std::move(frame));
    frame = {};
  }
  return taken;
}

SimNic::SimNic(SimWire& wire, std::size_t end, std::vector<HeapPacketMemory*> memories,
               const SimNicOptions& options)
    : wire_(wire), end_(end), options_(options), random_(wire.seed_for(end)) {
  for (HeapPacketMemory* memory : memories)
    queues_.push_back(std::make_unique<Queue>(*this, *memory));
}

SimNic::~SimNic() = default;

platform::Port& SimNic::queue(std::size_t i) noexcept { return *queues_[i]; }
std::size_t SimNic::received(std::size_t queue) const noexcept { return queues_[queue]->received; }

void SimNic::deliver(std::size_t queue, Frame frame) {
  ++queues_[queue]->received;
  queues_[queue]->arrived.push_back({std::move(frame), false, 0});
}

void SimNic::steer() {
  while (auto frame = wire_.take(end_)) {
    Queue::Arrived item;
    std::size_t queue = 0;
    const TcpFrame at = dissect(*frame);
    if (at.valid && !options_.key.empty()) {
      const std::span<const std::byte> bytes(*frame);
      item.hash = sim::toeplitz(options_.key, mapped(bytes.subspan(at.ip + 12)),
                                mapped(bytes.subspan(at.ip + 16)), word(bytes.subspan(at.tcp)),
                                word(bytes.subspan(at.tcp + 2)));
      item.has_hash = options_.reports_hash;
      queue = options_.table[item.hash & (options_.table.size() - 1)];
    }
    item.frame = std::move(*frame);
    ++queues_[queue]->received;
    queues_[queue]->arrived.push_back(std::move(item));
  }
}

}  // namespace pollux::sim
