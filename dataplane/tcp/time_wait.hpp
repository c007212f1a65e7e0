// TIME-WAIT without the connection: what must be remembered of a tuple for 2 MSL in 32 bytes, so
// that its connection is free at once. Bounded: when all records are in use, the oldest gives way.
// Read first: RFC 9293 3.6.1 and 3.10.7.4, RFC 1337, RFC 6191.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/tcp/isn.hpp"

namespace pollux::tcp {

struct TimeWaitRecord {
  /// Keyed hash of addresses and ports: 64 bits that nobody outside can make collide. A reply takes
  /// the addresses from the segment that it answers.
  std::uint64_t tuple;
  std::uint32_t rcv_nxt;    ///< one past the peer's FIN
  std::uint32_t snd_nxt;    ///< one past ours
  std::uint32_t ts_recent;  ///< with ts_ok
  std::uint32_t ts_offset;
  std::uint32_t until;  ///< in ticks of 2^20 ns, wrapping
  std::uint16_t window;
  bool ts_ok;
};
static_assert(sizeof(TimeWaitRecord) == 32);

/// Thread: the worker's. Nothing is allocated after construction.
class TimeWaitTable {
 public:
  TimeWaitTable(std::uint32_t capacity, const HashKey& key);

  [[nodiscard]] std::uint64_t tuple(const net::Endpoint& remote,
                                    std::uint16_t local_port) const noexcept;
  [[nodiscard]] bool contains(std::uint64_t tuple) const noexcept { return seek(tuple) != kNone; }
  /// nullptr: none. Valid until the next insert, erase or expire.
  [[nodiscard]] TimeWaitRecord* find(std::uint64_t tuple) noexcept {
    const std::uint32_t at = seek(tuple);
    return at == kNone ? nullptr : &records_[at];
  }
  /// `record.until` is filled in; a record of the same tuple is replaced. True when the oldest one
  /// had to give way.
  bool insert(const TimeWaitRecord& record, Instant until) noexcept;
  /// RFC 9293 3.10.7.4: a repeated FIN starts the time again.
  void restart(TimeWaitRecord& record, Instant until) noexcept;
  void erase(TimeWaitRecord& record) noexcept;
  /// Forgets at most `limit` records whose time has passed. Returns how many.
  std::size_t expire(Instant now, std::size_t limit) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// kNever when empty.
  [[nodiscard]] Instant next_deadline() const noexcept;

 private:
  static constexpr std::uint32_t kNone = 0xffff'ffff;
  // All records wait equally long, so the order of their filing is that of their ends.
  struct Links {
    std::uint32_t older;
    std::uint32_t newer;
    std::uint32_t chain;  // next of the same bucket, or of the free ones
  };
  [[nodiscard]] std::uint32_t seek(std::uint64_t tuple) const noexcept;
  void file_newest(std::uint32_t at) noexcept;
  void unlink_age(std::uint32_t at) noexcept;
  void erase_at(std::uint32_t at) noexcept;

  HashKey key_;
  std::uint32_t capacity_;
  std::uint32_t mask_;
  std::unique_ptr<TimeWaitRecord[]> records_;
  std::unique_ptr<Links[]> links_;
  std::unique_ptr<std::uint32_t[]> buckets_;
  std::uint32_t untouched_ = 0;  // records from here on have never been used
  std::uint32_t free_ = kNone;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;
  std::size_t size_ = 0;
  std::int64_t seen_ = 0;  // ticks of a recent instant: what the wrapping ones count from
};

}  // namespace pollux::tcp
