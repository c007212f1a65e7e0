// The control thread: one loop over the command ring, the mailboxes of the workers, helper results
// and timers. It spins briefly while something is under way and sleeps otherwise; nothing it does
// blocks. The process around it (EAL, ports, worker threads) is control/library's.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/ring/descriptor.hpp"
#include "control/ring/server.hpp"
#include "control/service/config.hpp"
#include "control/service/helper_thread.hpp"
#include "control/service/isid_store.hpp"
#include "control/service/operations.hpp"
#include "control/service/port_report.hpp"
#include "control/service/queue_source.hpp"
#include "control/service/resolver.hpp"
#include "control/service/scsi_executor.hpp"
#include "control/service/session_manager.hpp"
#include "control/service/state_directory.hpp"
#include "control/service/steering_report.hpp"
#include "control/service/worker_channel.hpp"
#include "dataplane/worker/command_queue.hpp"

namespace pollux::service {

struct ServiceOptions {
  const Config& config;                  ///< outlives the service
  std::span<worker::Link* const> links;  ///< one for each worker; outlive the service
  std::unique_ptr<ring::Server> server;  ///< null: no command ring
  std::function<Instant()> clock;        ///< monotonic; also called from the service's own threads
  QueueSource& queues;                   ///< outlives the service
  std::vector<PortReport> ports;         ///< what the workers' ports negotiated
  SavedState saved;
  std::uint64_t random_seed = 0;
  std::function<void(const std::string&)> log;  ///< control thread; may be empty
  Resolver* resolver = nullptr;                 ///< null: the system's
  /// Sentences about ports that nobody has heard yet; asked for in every turn. May be empty.
  std::function<std::vector<std::string>()> steering_events = {};
  /// For statistics; both may be empty.
  std::function<std::vector<SteeringReport>()> steering_reports = {};
  std::function<std::vector<CounterReport>()> queue_counters = {};
  std::function<std::vector<CounterReport>()> protocol_counters = {};
};

class Service final : private ring::Handler {
 public:
  /// Sets the doorbells of the links: before the workers start.
  explicit Service(ServiceOptions options);
  /// After run() has returned and the workers have stopped.
  ~Service() override;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// The control thread's life: serves until request_stop(), then logs every session out (bounded
  /// by the logout time-outs) and tells the workers to stop.
  void run();
  /// Any thread, and signal handlers.
  void request_stop() noexcept;

  /// One turn; returns whether anything was done. For run() and for tests.
  bool turn(Instant now);

  /// Any thread: runs `work` on the control thread, soon. False once the service has stopped
  /// serving; `work` is then not run.
  [[nodiscard]] bool post(std::function<void()> work);
  [[nodiscard]] bool on_control_thread() const noexcept;

  // Control thread only.
  [[nodiscard]] SessionManager& sessions() noexcept { return *sessions_; }
  [[nodiscard]] Operations& operations() noexcept { return *operations_; }
  [[nodiscard]] std::uint32_t worker_count() const noexcept {
    return static_cast<std::uint32_t>(channels_.size());
  }
  void attach_queue(std::uint32_t worker, worker::CommandQueue* queue);
  /// `done` runs when the worker has let go of the queue.
  void detach_queue(std::uint32_t worker, worker::CommandQueue* queue, std::function<void()> done);
  [[nodiscard]] std::vector<std::string> recent_events() const {
    return {events_.begin(), events_.end()};
  }

 private:
  // ring::Handler
  void on_command(const ring::Request& request) override;
  void on_cancel(ring::RequestId request) override;
  void on_client_gone(ring::ClientId client) override;

  bool take_messages(Instant now);
  bool run_posted();
  void note(const std::string& sentence);
  void save_isids(const std::map<IsidKey, wire::Isid>& isids);
  void sleep(Instant now);
  [[nodiscard]] bool prepare_sleep();
  void finish_sleep();
  [[nodiscard]] Duration sleep_limit(Instant now) const;
  void wake() noexcept;
  void end();

  const Config& config_;
  std::function<Instant()> clock_;
  std::function<void(const std::string&)> log_;
  std::function<std::vector<std::string>()> steering_events_;
  ring::Descriptor doorbell_;  ///< eventfd: workers, helpers, other threads
  ring::Descriptor epoll_;
  std::deque<std::string> events_;
  Random random_;
  HelperThread names_;
  HelperThread files_;
  SystemResolver system_resolver_;
  IsidStore isids_;
  std::vector<std::unique_ptr<WorkerChannel>> channels_;
  PortEvents ports_;
  std::unique_ptr<SessionManager> sessions_;
  ScsiExecutor scsi_;
  std::unique_ptr<ring::Server> server_;
  std::unique_ptr<Operations> operations_;
  std::unordered_map<void*, std::function<void()>> detaching_;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // under posted_mutex_
  bool is_ending_ = false;                     ///< control thread: end() has begun
  bool is_closed_ = false;                     // under posted_mutex_
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> thread_{0};
};

/// The state an instance starts with: of its state directory, or made up when there is none.
[[nodiscard]] bool load_state(const Config& config, SavedState& state, std::string& error);
/// Listens on the configured or default socket; makes its directory. Null with a sentence in
/// `error`.
[[nodiscard]] std::unique_ptr<ring::Server> listen(const Config& config, std::string& error);

}  // namespace pollux::service
