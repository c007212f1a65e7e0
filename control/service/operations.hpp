// The operations of the command ring: takes a request's structure apart, starts what it asks for,
// and answers it exactly once, also when its deadline passes, its client cancels it or is gone. The
// ring has checked access and the least sizes (ring/opcodes.cpp); what a structure says is checked
// here.
//
// When Status is not zero and the output area has room behind the structure, a sentence for a
// person (UTF-8, no NUL) follows the structure.
//
//   login_operation.cpp     LoginToTarget            scsi_operations.cpp    INQUIRY, READ CAPACITY,
//   REPORT LUNS transfer_operations.cpp read, write, verify      report_operations.cpp  status,
//   stats, session list bench_operations.cpp    benchmark and progress   operations.cpp table,
//   LogoutFromTarget, SendTargets
#pragma once

#include <pollux/iscsierr.h>
#include <pollux/iscsiop.h>
#include <pollux/operations.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/ring/server.hpp"
#include "control/service/bench.hpp"
#include "control/service/config.hpp"
#include "control/service/port_report.hpp"
#include "control/service/queue_source.hpp"
#include "control/service/scsi_executor.hpp"
#include "control/service/session_manager.hpp"
#include "control/service/steering_report.hpp"

namespace pollux::service {

/// One command of READ, WRITE or VERIFY on the wire.
inline constexpr std::uint32_t kChunkBytesMax = 1u << 20;
/// One read, write or verify of a client.
inline constexpr std::uint32_t kTransferBytesMax = 32u << 20;
inline constexpr std::uint32_t kChunksInFlight = 4;
inline constexpr std::size_t kBenchesMax = 8;

struct OperationsOptions {
  const Config& config;
  SessionManager& sessions;
  ScsiExecutor& scsi;
  QueueSource& queues;
  std::span<const std::unique_ptr<WorkerChannel>> workers;
  /// Answers a request; as ring::Server::complete().
  std::function<void(ring::RequestId, std::uint32_t, std::span<const std::byte>, std::uint64_t)>
      complete;
  std::function<void()> wake;  ///< any thread: a benchmark has news
  const PortEvents& ports;
  std::function<const ring::ServerCounters*()> ring_counters;
  /// The latest events in words, oldest first.
  std::function<std::vector<std::string>()> recent_events;
  std::function<std::vector<SteeringReport>()> steering_reports = {};
  std::function<std::vector<CounterReport>()> queue_counters = {};
  std::function<std::vector<CounterReport>()> protocol_counters = {};
  std::function<Instant()> clock;
};

/// What a login offers, by the configuration.
[[nodiscard]] session::Offer make_offer(const LoginConfig& login);
/// The worker with the most free connection slots.
[[nodiscard]] std::uint32_t least_loaded_worker(
    std::span<const std::unique_ptr<WorkerChannel>> workers);

class Operations {
 public:
  explicit Operations(OperationsOptions options);
  ~Operations();

  void on_command(const ring::Request& request, Instant now);
  void on_cancel(ring::RequestId request, Instant now);
  void on_client_gone(ring::ClientId client, Instant now);
  void on_time(Instant now);
  [[nodiscard]] Instant next_deadline() const noexcept;
  /// Answers benchmarks that ended; returns whether there were any.
  bool poll(Instant now);
  /// No request waits for an answer.
  [[nodiscard]] bool is_idle() const noexcept { return pending_.empty(); }
  [[nodiscard]] bool has_benches() const noexcept { return !benches_.empty(); }
  /// The service is ending: what is under way is answered so, and later commands are refused.
  void stop(Instant now);

  struct Capacity {
    std::uint64_t blocks = 0;
    std::uint32_t block_bytes = 0;
  };
  /// For the library's own calls. `capacity` is empty unless the outcome is ok.
  using CapacityDone = std::function<void(const Outcome&, std::optional<Capacity>)>;
  void read_capacity(std::uint64_t session, std::uint64_t lun, CapacityDone done);

 private:
  using Serial = std::uint64_t;  ///< of a pending request; never reused
  struct Pending {
    ring::RequestId id;
    std::uint32_t opcode = 0;
    std::uint32_t output_capacity = 0;
    std::span<const std::byte> input;
    Instant deadline;
    std::function<void()> abandon;  ///< the answer is not wanted any more; may be empty
  };
  using Handler = void (Operations::*)(Serial, Instant);
  struct Entry {
    std::uint32_t opcode;
    Handler handler;
  };
  static const Entry* find_entry(std::uint32_t opcode) noexcept;

  // What a handler uses. All are no-ops for a request that has been answered.
  template <class T>
  [[nodiscard]] T input(Serial serial) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const std::span<const std::byte> bytes = pending_.at(serial).input;
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(T)));
    return value;
  }
  [[nodiscard]] bool is_pending(Serial serial) const { return pending_.contains(serial); }
  void set_deadline(Serial serial, Instant deadline);
  void finish(Serial serial, std::uint32_t ring_status, std::span<const std::byte> output = {},
              std::uint64_t needed = 0);
  template <class T>
  void answer(Serial serial, const T& out, std::size_t bytes = sizeof(T)) {
    finish(serial, POLLUX_RING_OK, std::as_bytes(std::span(&out, 1)).first(bytes));
  }
  /// Structure (its first `bytes`), then the sentence as far as there is room.
  template <class T>
  void answer_failure(Serial serial, const T& out, std::string_view sentence,
                      std::size_t bytes = sizeof(T)) {
    answer_with_sentence(serial, std::as_bytes(std::span(&out, 1)).first(bytes), sentence);
  }
  void answer_with_sentence(Serial serial, std::span<const std::byte> structure,
                            std::string_view sentence);
  /// True when `needed` bytes fit; otherwise the request has been answered.
  bool require_room(Serial serial, std::uint64_t needed);
  void end_abandoned(Serial serial, std::uint32_t ring_status);

  // operations.cpp
  void send_targets(Serial serial, Instant now);
  void logout(Serial serial, Instant now);
  void refuse(Serial serial, Instant now);
  // login_operation.cpp
  void login(Serial serial, Instant now);
  // scsi_operations.cpp
  void inquiry(Serial serial, Instant now);
  void read_capacity_raw(Serial serial, Instant now);
  void report_luns(Serial serial, Instant now);
  void answer_scsi(Serial serial, const Outcome& outcome, const pollux_completion& completion,
                   std::span<const std::byte> data);
  /// A session that takes SCSI commands, or null with the reason.
  const SessionRecord* scsi_session(std::uint64_t id, Outcome& outcome) const;
  struct Cdb {
    std::vector<std::uint8_t> bytes;
    std::uint32_t response_bytes = 0;
  };
  using RawDone =
      std::function<void(const Outcome&, const pollux_completion&, std::vector<std::byte>)>;
  /// Sends a command that reads; unit attentions are tried again, a command they met did not run.
  void run_cdb(std::uint64_t session, std::uint64_t lun, Cdb cdb, RawDone done,
               int attempts_left = 3);
  void run_capacity(std::uint64_t session, std::uint64_t lun, RawDone done);
  // transfer_operations.cpp
  struct Transfer;
  void transfer(Serial serial, Instant now);
  void start_transfer(const std::shared_ptr<Transfer>& transfer);
  void probe_out_of_range(const std::shared_ptr<Transfer>& transfer);
  void push_chunks(const std::shared_ptr<Transfer>& transfer);
  void push_chunk(const std::shared_ptr<Transfer>& transfer, std::uint64_t offset,
                  std::uint32_t bytes, int attempts_left);
  void end_transfer(const std::shared_ptr<Transfer>& transfer);
  void answer_io(Serial serial, const Outcome& outcome, const pollux_completion& completion);
  // report_operations.cpp
  void status(Serial serial, Instant now);
  void stats(Serial serial, Instant now);
  void session_list(Serial serial, Instant now);
  void answer_json(Serial serial, const std::string& json);
  // bench_operations.cpp
  void bench(Serial serial, Instant now);
  void bench_progress(Serial serial, Instant now);

  struct BenchRun {
    Serial serial = 0;  ///< 0: answered
    std::uint64_t id = 0;
    std::unique_ptr<Bench> bench;
  };

  OperationsOptions options_;
  Serial next_serial_ = 1;
  std::map<Serial, Pending> pending_;
  std::deque<BenchRun> benches_;
  std::deque<pollux_bench_out> finished_benches_;  ///< for progress read after the end
  bool is_stopping_ = false;
  Instant started_;
};

/// The status and sentence of a completion; ok when the command was good.
[[nodiscard]] Outcome scsi_outcome(const pollux_completion& completion);

}  // namespace pollux::service
