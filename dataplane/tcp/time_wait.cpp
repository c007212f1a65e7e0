// The table of TIME-WAIT records, and what a segment for one of them does.
#include "dataplane/tcp/time_wait.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

constexpr unsigned kTickShift = 20;
constexpr std::uint32_t kTimeWaitAcksPerSecond = 1000;
constexpr std::uint32_t kIssGap =
    128'000;  // between one incarnation's last number and the next ISN

std::int64_t whole_ticks(Instant at) noexcept {
  return at.time_since_epoch().count() >> kTickShift;
}

std::uint32_t ticks(Instant at) noexcept { return static_cast<std::uint32_t>(whole_ticks(at)); }

bool newer(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) > 0;
}

/// RFC 6191 2: whether a SYN for a tuple in TIME-WAIT is certainly a new connection.
bool begins_anew(const TimeWaitRecord& record, const Segment& segment) noexcept {
  const bool beyond = newer(segment.seq.raw(), record.rcv_nxt - 1);
  if (!segment.options.has_timestamps) return beyond;
  if (!record.ts_ok || newer(segment.options.tsval, record.ts_recent)) return true;
  return segment.options.tsval == record.ts_recent && beyond;
}

}  // namespace

TimeWaitTable::TimeWaitTable(std::uint32_t capacity, const HashKey& key)
    : key_(key),
      capacity_(capacity),
      mask_(std::bit_ceil(capacity) - 1),
      records_(new TimeWaitRecord[capacity]),
      links_(new Links[capacity]),
      buckets_(new std::uint32_t[std::size_t{mask_} + 1]) {
  POLLUX_ASSERT(capacity != 0);
  std::fill_n(buckets_.get(), std::size_t{mask_} + 1, kNone);
}

std::uint64_t TimeWaitTable::tuple(const net::Endpoint& remote,
                                   std::uint16_t local_port) const noexcept {
  std::array<std::byte, 20> bytes;
  std::memcpy(bytes.data(), remote.address.bytes.data(), 16);
  std::memcpy(&bytes[16], &remote.port, 2);
  std::memcpy(&bytes[18], &local_port, 2);
  return siphash(key_, bytes);
}

std::uint32_t TimeWaitTable::seek(std::uint64_t tuple) const noexcept {
  if (size_ == 0) return kNone;
  std::uint32_t at = buckets_[tuple & mask_];
  while (at != kNone && records_[at].tuple != tuple) at = links_[at].chain;
  return at;
}

void TimeWaitTable::file_newest(std::uint32_t at) noexcept {
  links_[at].older = newest_;
  links_[at].newer = kNone;
  (newest_ == kNone ? oldest_ : links_[newest_].newer) = at;
  newest_ = at;
}

void TimeWaitTable::unlink_age(std::uint32_t at) noexcept {
  const Links& link = links_[at];
  (link.older == kNone ? oldest_ : links_[link.older].newer) = link.newer;
  (link.newer == kNone ? newest_ : links_[link.newer].older) = link.older;
}

void TimeWaitTable::erase_at(std::uint32_t at) noexcept {
  unlink_age(at);
  std::uint32_t* from = &buckets_[records_[at].tuple & mask_];
  while (*from != at) from = &links_[*from].chain;
  *from = links_[at].chain;
  links_[at].chain = free_;
  free_ = at;
  --size_;
}

bool TimeWaitTable::insert(const TimeWaitRecord& record, Instant until) noexcept {
  const std::uint32_t same = seek(record.tuple);
  if (same != kNone) erase_at(same);
  const bool gives_way = size_ == capacity_;
  if (gives_way) erase_at(oldest_);
  std::uint32_t at = free_;
  if (at != kNone)
    free_ = links_[at].chain;
  else
    at = untouched_++;
  seen_ = whole_ticks(until);
  records_[at] = record;
  records_[at].until = ticks(until) + 1;
  std::uint32_t& bucket = buckets_[record.tuple & mask_];
  links_[at].chain = bucket;
  bucket = at;
  file_newest(at);
  ++size_;
  return gives_way;
}

void TimeWaitTable::restart(TimeWaitRecord& record, Instant until) noexcept {
  const auto at = static_cast<std::uint32_t>(&record - records_.get());
  record.until = ticks(until) + 1;
  unlink_age(at);
  file_newest(at);
}

void TimeWaitTable::erase(TimeWaitRecord& record) noexcept {
  erase_at(static_cast<std::uint32_t>(&record - records_.get()));
}

std::size_t TimeWaitTable::expire(Instant now, std::size_t limit) noexcept {
  if (size_ == 0) return 0;
  std::size_t gone = 0;
  seen_ = whole_ticks(now);
  const std::uint32_t tick = ticks(now);
  while (gone < limit && oldest_ != kNone && !newer(records_[oldest_].until, tick)) {
    erase_at(oldest_);
    ++gone;
  }
  return gone;
}

Instant TimeWaitTable::next_deadline() const noexcept {
  if (oldest_ == kNone) return kNever;
  const auto ahead =
      static_cast<std::int32_t>(records_[oldest_].until - static_cast<std::uint32_t>(seen_));
  return Instant{Duration{(seen_ + ahead) << kTickShift}};
}

// --- The engine's side
// ----------------------------------------------------------------------------

void Engine::Impl::enter_time_wait(Connection& c, Instant now) noexcept {
  c.state = State::time_wait;
  c.end_reason = EndReason::closed;
  stop_timer(c);
  c.ack_at = c.limit_at = c.keepalive_at = kNever;
  wheel.cancel(c.timer);
  drop_send_queue(c);
  drop_reassembly(c);
  leave_flow_table(c);
  const TimeWaitRecord record{.tuple = time_wait.tuple(c.remote, c.local_port),
                              .rcv_nxt = c.rcv_nxt.raw(),
                              .snd_nxt = c.snd_nxt.raw(),
                              .ts_recent = c.ts_recent,
                              .ts_offset = c.ts_offset,
                              .until = 0,
                              .window = window_field(c),
                              .ts_ok = c.ts_ok};
  counters.time_wait_entered.add();
  if (time_wait.insert(record, now + timers.time_wait)) counters.time_wait_recycled.add();
  raise(c, kEnded);
}

/// True when the tuple is in TIME-WAIT and the segment has been dealt with.
bool Engine::Impl::input_time_wait(const net::TcpDatagram& datagram, const wire::TcpHeader& header,
                                   const Segment& segment, Instant now) noexcept {
  const net::Endpoint remote{datagram.source, header.source_port.get()};
  const std::uint16_t local_port = header.destination_port.get();
  TimeWaitRecord* record = time_wait.find(time_wait.tuple(remote, local_port));
  if (record == nullptr) return false;
  if (segment.rst()) {
    // RFC 1337: a RST does not cut TIME-WAIT short.
    counters.dropped_bad_reset.add();
    return true;
  }
  if (listener != nullptr && segment.syn() && !segment.has_ack() && begins_anew(*record, segment)) {
    const TcpSeq last{record->snd_nxt};
    if (!accept_syn(datagram, remote, local_port, segment, now)) return false;
    if (Connection* c = lookup(remote.address, remote.port, local_port)) {
      time_wait.erase(*record);
      counters.time_wait_reused.add();
      // RFC 1122 4.2.2.13: larger than the largest number of the connection before.
      if (c->iss.precedes_or_is(last)) set_iss(*c, last + kIssGap);
    }
    return true;
  }
  const bool is_old = record->ts_ok && segment.options.has_timestamps &&
                      newer(record->ts_recent, segment.options.tsval);
  if (is_old) counters.dropped_paws.add();
  // Only the FIN that brought us here starts the time again: a forged one would do so for ever.
  const TcpSeq past_fin = segment.seq + segment.length + 1;
  if (segment.fin() && !segment.syn() && !is_old && past_fin.raw() == record->rcv_nxt)
    time_wait.restart(*record, now + timers.time_wait);
  // RFC 9293 3.10.7.4: what is acceptable and empty is owed nothing; two ends that both answered it
  // would go on for as long as TIME-WAIT lasts.
  if (segment.sequence_length() == 0 && segment.seq.raw() == record->rcv_nxt) return true;
  answer_in_time_wait(*record, remote, {datagram.destination, local_port}, now);
  return true;
}

void Engine::Impl::answer_in_time_wait(const TimeWaitRecord& record, const net::Endpoint& remote,
                                       const net::Endpoint& local, Instant now) noexcept {
  if (now - time_wait_tokens_at >= 1s) {
    time_wait_tokens_at = now;
    time_wait_tokens = kTimeWaitAcksPerSecond;
  }
  // The connection is gone: one for the length of this call has what a frame is made from.
  Connection stand_in;
  stand_in.remote = remote;
  stand_in.local = local.address;
  stand_in.local_port = local.port;
  stand_in.rcv_nxt = TcpSeq{record.rcv_nxt};
  stand_in.ts_ok = record.ts_ok;
  stand_in.ts_recent = record.ts_recent;
  stand_in.ts_offset = record.ts_offset;
  std::array<std::byte, 40> options;
  Frame frame;
  if (time_wait_tokens == 0 || refresh_route(stand_in, now) != RouteVerdict::ready) {
    counters.suppressed_time_wait_acks.add();
    return;
  }
  const std::size_t option_bytes = write_options(stand_in, options.data(), now);
  if (!begin_frame(frame, option_bytes)) {
    counters.suppressed_time_wait_acks.add();
    return;
  }
  --time_wait_tokens;
  finish_frame(stand_in, frame, TcpSeq{record.snd_nxt}, wire::kTcpAck, record.window,
               {options.data(), option_bytes});
  counters.time_wait_acks.add();
}

}  // namespace pollux::tcp
