// A queue that carries SCSI commands out on a RAM disk at once: the far end for operations without
// a data plane. Counts commands, can hold them back, and answers errors as a small target would.
#pragma once

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "control/service/queue_source.hpp"

namespace pollux::service::testing {

struct RamDisk {
  static constexpr std::uint32_t kBlockBytes = 512;
  std::mutex mutex;
  std::vector<std::byte> data = std::vector<std::byte>(8192 * kBlockBytes);
  bool knows_capacity_16 = true;
  int unit_attentions = 0;  ///< so many commands are answered so first
  std::atomic<bool> holds_back{false};
  std::atomic<int> reads{0};
  std::atomic<int> writes{0};
  [[nodiscard]] std::uint64_t blocks() const { return data.size() / kBlockBytes; }
};

class RamQueue final : public Queue {
 public:
  explicit RamQueue(RamDisk& disk) : disk_(disk) {}
  int submit(std::span<const pollux_command> commands) noexcept override {
    for (const pollux_command& command : commands) open_.push_back(command);
    return static_cast<int>(commands.size());
  }
  int reap(std::span<pollux_completion> completions) noexcept override {
    std::size_t count = 0;
    while (!disk_.holds_back && count < completions.size() && !open_.empty()) {
      const std::lock_guard lock(disk_.mutex);
      completions[count++] = run(open_.front());
      open_.pop_front();
    }
    return static_cast<int>(count);
  }
  void release(pollux_lent*) noexcept override {}
  bool register_memory(std::span<std::byte>) noexcept override { return true; }

 private:
  static void check(pollux_completion& out, std::uint8_t key, std::uint8_t asc) {
    out.scsi_status = 2;
    out.sense_key = key;
    out.asc = asc;
    out.sense[0] = 0x70;
    out.sense[2] = key;
    out.sense[7] = 10;
    out.sense[12] = asc;
    out.sense_length = 18;
  }
  static void give(pollux_completion& out, const pollux_command& command,
                   std::vector<std::uint8_t> bytes) {
    bytes.resize(std::min<std::size_t>(bytes.size(), command.length));
    std::memcpy(command.iov->iov_base, bytes.data(), bytes.size());
    out.transferred = static_cast<std::uint32_t>(bytes.size());
  }

  pollux_completion run(const pollux_command& command) {
    pollux_completion out{};
    out.context = command.context;
    if (disk_.unit_attentions > 0) {
      --disk_.unit_attentions;
      check(out, 6, 0x29);
      return out;
    }
    if (command.lun != 0) {
      check(out, 5, 0x25);
      return out;
    }
    const std::uint64_t last = disk_.blocks() - 1;
    const auto byte = [](std::uint64_t value, int shift) {
      return static_cast<std::uint8_t>(value >> shift);
    };
    if (command.opcode == POLLUX_SCSI) {
      switch (command.cdb[0]) {
        case 0x12:
          give(out, command, std::vector<std::uint8_t>(36, 'i'));
          return out;
        case 0xa0:
          give(out, command, {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
          return out;
        case 0x25:
          give(out, command,
               {byte(last, 24), byte(last, 16), byte(last, 8), byte(last, 0), 0, 0, 2, 0});
          return out;
        case 0x9e:
          if (!disk_.knows_capacity_16) {
            check(out, 5, 0x20);
          } else {
            std::vector<std::uint8_t> answer(32);
            for (int i = 0; i < 8; ++i)
              answer[static_cast<std::size_t>(i)] = byte(last, 56 - 8 * i);
            answer[10] = 2;
            give(out, command, answer);
          }
          return out;
        default:
          check(out, 5, 0x20);
          return out;
      }
    }
    if (command.lba > last || command.block_count > last + 1 - command.lba) {
      check(out, 5, 0x21);
      return out;
    }
    std::byte* place = disk_.data.data() + command.lba * RamDisk::kBlockBytes;
    if (command.opcode == POLLUX_READ) {
      ++disk_.reads;
      std::memcpy(command.iov->iov_base, place, command.length);
    } else {
      ++disk_.writes;
      std::memcpy(place, command.iov->iov_base, command.length);
    }
    out.transferred = command.length;
    return out;
  }

  RamDisk& disk_;
  std::deque<pollux_command> open_;
};

class RamQueueSource final : public QueueSource {
 public:
  RamDisk disk;
  std::unique_ptr<Queue> create(std::uint32_t, std::uint32_t, std::uint32_t,
                                std::string&) override {
    return std::make_unique<RamQueue>(disk);
  }
  bool stats(std::uint32_t, pollux_worker_stats& stats) noexcept override {
    stats.tsc_hz = 1'000'000'000;
    stats.busy_cycles = 300;
    stats.idle_cycles = 500;
    stats.away_cycles = 200;
    stats.commands = 4;
    stats.read_bytes = 8192;
    stats.written_bytes = 4096;
    stats.sampled_cycles[POLLUX_STAGE_TCP] = 3;
    stats.received_bursts[2] = 6;
    stats.sent_bursts[POLLUX_BURST_SIZES - 1] = 7;
    return true;
  }
};

}  // namespace pollux::service::testing
