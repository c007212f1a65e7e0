#include "tests/support/sim_port.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/base/byte_order.hpp"
#include "tests/support/frame_checksum.hpp"

namespace pollux::sim {

namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint32_t kHeaderBytes = 80;  // where cuts hurt most
constexpr Duration kLate = 20us;            // counted as a late completion

std::uint64_t digest(std::span<const std::byte> bytes) noexcept {
  std::uint64_t sum = bytes.size();
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    sum = (sum ^ word) * 0x9e37'79b9'7f4a'7c15u;
  }
  for (const std::byte byte : bytes) sum = sum * 257 + std::to_integer<unsigned>(byte);
  return sum;
}

std::uint16_t checksum_flags(std::span<const std::byte> frame, RxChecksum mode) {
  using namespace platform;
  if (mode == RxChecksum::unknown) return 0;
  if (mode == RxChecksum::assumed_good) return kRxIpChecksumGood | kRxL4ChecksumGood;
  const TcpFrame at = dissect(frame);
  if (!at.valid) return 0;  // what the port does not understand it leaves to the stack
  unsigned flags = ip_checksum_good(frame) ? kRxIpChecksumGood : kRxIpChecksumBad;
  flags |= tcp_checksum_good(frame, at) ? kRxL4ChecksumGood : kRxL4ChecksumBad;
  return static_cast<std::uint16_t>(flags);
}

}  // namespace

SimPort::SimPort(SimWire& wire, std::size_t end, HeapPacketMemory& memory,
                 const SimPortOptions& options)
    : wire_(wire), end_(end), memory_(memory), options_(options), random_(wire.seed_for(end)) {
  info_.mac = options.mac;
  info_.mtu = options.mtu;
  info_.tx_ip_checksum = options.tx_checksum;
  info_.tx_l4_checksum = options.tx_checksum;
  info_.tx_vlan_insert = options.vlan_offload;
  info_.tx_segments_max = options.tx_segments_max;
  info_.tx_external = options.tx_external;
  POLLUX_ASSERT(options.tso_bytes_max == 0 || options.tx_checksum);
  info_.tso_bytes_max = options.tso_bytes_max;
  info_.tso_segments_max = options.tso_bytes_max == 0 ? 0 : options.tso_segments_max;
  wire_.attach(end, *this);
}

SimPort::~SimPort() {
  for (const InFlight& done : in_flight_) finish(done);
  wire_.detach(end_);
}

void SimPort::arrived(Frame frame) {
  if (arrived_.size() >= options_.rx_ring_frames) {
    ++hits_.rx_overflow;
    return;
  }
  Arrived& item = arrived_.emplace_back();
  item.flags = checksum_flags(frame, options_.rx_checksum);
  if (options_.vlan_offload && vlan_tag_at(frame)) {
    item.flags |= platform::kRxVlanStripped;
    item.vlan = take_vlan_tag(frame);
  }
  item.frame = std::move(frame);
  cut(item);
}

void SimPort::cut(Arrived& arrived) {
  const auto length = static_cast<std::uint32_t>(arrived.frame.size());
  std::vector<std::size_t>& ends = arrived.ends;
  if (options_.scatter && length > 1) {
    for (std::uint32_t cuts = random_.below(3); cuts > 0; --cuts) {
      const bool in_header = random_.below(2) == 0;
      ends.push_back(1 + random_.below((in_header ? std::min(length, kHeaderBytes) : length) - 1));
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    if (!ends.empty()) ++hits_.rx_scattered;
  }
  ends.push_back(length);
  // No piece is larger than a buffer.
  const std::size_t most = memory_.true_size();
  for (std::size_t i = 0, first = 0; i < ends.size(); first = ends[i], ++i)
    if (ends[i] - first > most)
      ends.insert(ends.begin() + static_cast<std::ptrdiff_t>(i), first + most);
}

bool SimPort::deliver(const Arrived& arrived, std::span<platform::RxSegment> segments) noexcept {
  std::vector<platform::FrameBuffer> buffers(arrived.ends.size());
  const std::size_t got = memory_.allocate_received(buffers);
  if (got < buffers.size()) {
    for (std::size_t i = 0; i < got; ++i) memory_.release(buffers[i].handle);
    ++hits_.rx_no_buffer;
    return false;
  }
  std::size_t first = 0;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const std::size_t length = arrived.ends[i] - first;
    std::memcpy(buffers[i].data, arrived.frame.data() + first, length);
    unsigned flags = i == 0 ? arrived.flags : 0u;
    if (i + 1 < buffers.size()) flags |= platform::kRxMore;
    segments[i] = {.data = buffers[i].data,
                   .length = static_cast<std::uint32_t>(length),
                   .flags = static_cast<std::uint16_t>(flags),
                   .vlan = arrived.vlan,
                   .handle = buffers[i].handle};
    first = arrived.ends[i];
  }
  return true;
}

std::size_t SimPort::receive(std::span<platform::RxSegment> segments) noexcept {
  if (removed_) return 0;
  std::size_t used = 0;
  while (!arrived_.empty()) {
    const std::size_t pieces = arrived_.front().ends.size();
    if (pieces > segments.size())
      ++hits_.rx_too_many_segments;
    else if (pieces > segments.size() - used)
      break;
    else if (deliver(arrived_.front(), segments.subspan(used)))
      used += pieces;
    arrived_.pop_front();
  }
  return used;
}

std::size_t SimPort::in_flight() const noexcept { return in_flight_.size(); }

std::size_t SimPort::transmit(std::span<const platform::TxSegment> segments) noexcept {
  if (removed_ || stalled_) return 0;
  const std::size_t room =
      options_.tx_ring_segments - std::min(options_.tx_ring_segments, in_flight());
  const std::size_t most = std::min({segments.size(), room, options_.transmit_most});
  std::size_t taken = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if ((segments[i].flags & platform::kTxMore) != 0) {
      POLLUX_ASSERT(i + 1 < segments.size());  // whole frames only
      continue;
    }
    if (i + 1 > most) break;
    send_frame(segments.subspan(taken, i + 1 - taken));
    taken = i + 1;
  }
  if (taken < segments.size()) ++hits_.tx_refused;
  return taken;
}

void SimPort::send_frame(std::span<const platform::TxSegment> segments) {
  const bool is_large = segments.front().tso_segment_bytes != 0;
  POLLUX_ASSERT(segments.size() <= (is_large ? info_.tso_segments_max : info_.tx_segments_max));
  std::size_t& most = is_large ? hits_.large_pieces_most : hits_.pieces_most;
  most = std::max(most, segments.size());
  Frame frame;
  frame.reserve(kEthernetBytes + info_.mtu);
  const Instant earliest = wire_.now() + options_.completion_min;
  const auto spread =
      static_cast<std::uint32_t>((options_.completion_max - options_.completion_min).count() + 1);
  for (const platform::TxSegment& segment : segments) {
    POLLUX_ASSERT(segment.length > 0);
    POLLUX_ASSERT(segment.tracker == nullptr || options_.tx_external);
    POLLUX_ASSERT((segment.handle == nullptr) != (segment.tracker == nullptr));
    frame.insert(frame.end(), segment.data, segment.data + segment.length);
    if (segment.tracker != nullptr) memory_.tracker_taken(*segment.tracker);
    InFlight& item = in_flight_.emplace_back();
    item.earliest = earliest;
    item.due = earliest + Duration(random_.below(spread));
    item.handle = segment.handle;
    item.tracker = segment.tracker;
    if (options_.watch_memory) {
      item.bytes = {segment.data, segment.length};
      item.digest = digest(item.bytes);
    }
    next_completion_ = std::min(next_completion_, item.due);
  }
  if ((segments.front().flags & platform::kTxVlan) != 0) {
    POLLUX_ASSERT(options_.vlan_offload && !vlan_tag_at(frame));
    put_vlan_tag(frame, segments.front().vlan);
  }
  hits_.tx_segments += segments.size();
  if (is_large) return send_large(frame, segments.front());
  // IEEE 802.3 3.5.4: a tag makes a frame longer, its packet no shorter.
  const std::size_t tag = vlan_tag_at(frame) ? kVlanTagBytes : 0;
  POLLUX_ASSERT(frame.size() <= std::size_t{info_.mtu} + kEthernetBytes + tag);
  complete_checksums(frame, segments.front());
  ++hits_.tx_frames;
  wire_.send(end_, std::move(frame));
}

void SimPort::complete_checksums(Frame& frame, const platform::TxSegment& head) const {
  const unsigned flags = head.flags;
  const bool wants_checksum = (flags & (platform::kTxIpChecksum | platform::kTxL4Checksum)) != 0;
  if (wants_checksum && !options_.free_checksums) {
    POLLUX_ASSERT(options_.tx_checksum);
    const TcpFrame at = dissect(frame);
    POLLUX_ASSERT(at.valid);
    // A real port looks where it is told to, before it puts its own tag in.
    const std::size_t own_tag = (flags & platform::kTxVlan) != 0 ? kVlanTagBytes : 0;
    POLLUX_ASSERT(head.l2_length + head.l3_length + own_tag == at.tcp);
    if ((flags & platform::kTxIpChecksum) != 0) write_ip_checksum(frame);
    if ((flags & platform::kTxL4Checksum) != 0) {
      // A real port adds to what it finds in the field: the sum of the pseudo-header must be there.
      const auto found =
          static_cast<std::uint16_t>(std::to_integer<unsigned>(frame[at.tcp + 16]) << 8 |
                                     std::to_integer<unsigned>(frame[at.tcp + 17]));
      POLLUX_ASSERT(found == pseudo_header_sum(frame, at));
      write_tcp_checksum(frame, at);
    }
  }
}

/// Cuts as a NIC does: headers repeated, SEQ moved on, PSH and FIN on the last part alone, CWR on
/// the first, lengths and sums of each part its own.
void SimPort::send_large(const Frame& frame, const platform::TxSegment& head) {
  constexpr unsigned kFin = 0x01, kPsh = 0x08, kCwr = 0x80;
  const TcpFrame at = dissect(frame);
  POLLUX_ASSERT(at.valid && at.end == frame.size() && options_.tx_checksum);
  POLLUX_ASSERT((head.flags & platform::kTxL4Checksum) != 0);
  const bool tag_put_here = (head.flags & platform::kTxVlan) != 0;
  POLLUX_ASSERT(head.l2_length + (tag_put_here ? kVlanTagBytes : 0) == at.ip);
  POLLUX_ASSERT(head.l3_length == at.tcp - at.ip && head.l4_length == at.payload - at.tcp);
  const std::size_t payload = frame.size() - at.payload;
  POLLUX_ASSERT(payload > head.tso_segment_bytes && payload <= info_.tso_bytes_max);
  POLLUX_ASSERT(at.payload - at.ip + head.tso_segment_bytes <= info_.mtu);
  const auto word = [&frame](std::size_t i) {
    return std::to_integer<unsigned>(frame[i]) << 8 | std::to_integer<unsigned>(frame[i + 1]);
  };
  // The port adds the length of each part: the sum it finds leaves it out.
  TcpFrame no_length = at;
  no_length.end = no_length.tcp;
  POLLUX_ASSERT(word(at.tcp + 16) == pseudo_header_sum(frame, no_length));
  ++hits_.tx_large;
  hits_.large_bytes_most = std::max(hits_.large_bytes_most, payload);
  is_cutting_ = true;
  for (std::size_t offset = 0; offset < payload; offset += head.tso_segment_bytes) {
    const std::size_t length = std::min<std::size_t>(head.tso_segment_bytes, payload - offset);
    const bool is_last = offset + length == payload;
    Frame part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(at.payload));
    const auto from = frame.begin() + static_cast<std::ptrdiff_t>(at.payload + offset);
    part.insert(part.end(), from, from + static_cast<std::ptrdiff_t>(length));
    // RFC 8200 3: the payload length leaves the header out, RFC 791 3.1: the total length does not.
    if (at.is_v6)
      store(&part[at.ip + 4], Be16(static_cast<std::uint16_t>(part.size() - at.tcp)));
    else
      store(&part[at.ip + 2], Be16(static_cast<std::uint16_t>(part.size() - at.ip)));
    const std::uint32_t sequence = word(at.tcp + 4) << 16 | word(at.tcp + 6);
    store(&part[at.tcp + 4], Be32(sequence + static_cast<std::uint32_t>(offset)));
    unsigned flags = std::to_integer<unsigned>(part[at.tcp + 13]);
    if (!is_last) flags &= ~(kFin | kPsh);
    if (offset != 0) flags &= ~kCwr;
    part[at.tcp + 13] = static_cast<std::byte>(flags);
    write_ip_checksum(part);
    TcpFrame part_at = at;
    part_at.end = part.size();
    write_tcp_checksum(part, part_at);
    ++hits_.tx_frames;
    ++hits_.tx_cut;
    wire_.send(end_, std::move(part));
  }
  is_cutting_ = false;
}

platform::PortState SimPort::check() noexcept {
  if (removed_) return platform::PortState::removed;
  return wire_.link_up() ? platform::PortState::up : platform::PortState::down;
}

void SimPort::shut() noexcept {
  removed_ = true;
  for (const InFlight& done : in_flight_) finish(done);
  in_flight_.clear();
  arrived_.clear();
}

void SimPort::finish(const InFlight& done) noexcept {
  if (done.tracker != nullptr)
    memory_.tracker_done(*done.tracker);
  else
    memory_.release(done.handle);
}

void SimPort::complete_older(Instant InFlight::*age, Instant than) noexcept {
  next_completion_ = kNever;
  std::erase_if(in_flight_, [&](const InFlight& item) {
    if (item.*age > than) {
      next_completion_ = std::min(next_completion_, item.due);
      return false;
    }
    POLLUX_ASSERT(item.bytes.empty() || digest(item.bytes) == item.digest);
    if (item.due > item.earliest + kLate) ++hits_.tx_late;
    finish(item);
    return true;
  });
}

void SimPort::complete(Instant now) noexcept {
  if (next_completion_ <= now) complete_older(&InFlight::due, now);
}

void SimPort::reclaim() noexcept { complete_older(&InFlight::earliest, wire_.now()); }

}  // namespace pollux::sim
