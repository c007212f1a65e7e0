#include "control/service/service.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <utility>

namespace pollux::service {
namespace {

constexpr std::size_t kEventsKept = 64;
constexpr std::size_t kMessagesPerTurn = 64;
/// DESIGN 5.4: a client that asks again soon finds the thread awake.
constexpr Duration kSpinAfterWork = 50us;
constexpr Duration kSpinWhileBusy = 200us;
/// Completions of SCSI commands ring no doorbell.
constexpr Duration kCompletionPoll = 100us;
constexpr Duration kSleepMax = 1s;

std::uint64_t this_thread() noexcept {
  return std::hash<std::thread::id>{}(std::this_thread::get_id()) | 1;
}

void pause() noexcept { __builtin_ia32_pause(); }

std::vector<ResolverPort> resolver_ports(const Config& config) {
  std::vector<ResolverPort> ports;
  for (const PortConfig& port : config.ports)
    ports.push_back({port.name, port.interface.has_ipv4(), port.interface.has_ipv6()});
  return ports;
}

}  // namespace

Service::Service(ServiceOptions options)
    : config_(options.config),
      clock_(std::move(options.clock)),
      log_(std::move(options.log)),
      steering_events_(std::move(options.steering_events)),
      doorbell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      random_(options.random_seed),
      names_([this] { wake(); }),
      files_([this] { wake(); }),
      system_resolver_(names_, resolver_ports(options.config)),
      isids_(std::move(options.saved.isids), config_.isid_qualifier, random_,
             [this](const std::map<IsidKey, wire::Isid>& isids) { save_isids(isids); }),
      ports_(options.links, std::move(options.ports),
             [this](const std::string& sentence) { note(sentence); }),
      scsi_(options.queues, static_cast<std::uint32_t>(options.links.size())),
      server_(std::move(options.server)) {
  for (worker::Link* link : options.links) {
    link->doorbell_fd = doorbell_.get();
    channels_.push_back(std::make_unique<WorkerChannel>(
        *link, static_cast<std::uint16_t>(config_.worker.sessions_max)));
  }
  sessions_ = std::make_unique<SessionManager>(SessionManagerOptions{
      .config = config_,
      .workers = channels_,
      .resolver = options.resolver != nullptr ? *options.resolver : system_resolver_,
      .isids = isids_,
      .random = random_,
      .boot_epoch = options.saved.boot_epoch,
      .log = [this](const std::string& sentence) { note(sentence); }});
  operations_ = std::make_unique<Operations>(OperationsOptions{
      .config = config_,
      .sessions = *sessions_,
      .scsi = scsi_,
      .queues = options.queues,
      .workers = channels_,
      .complete = [this](ring::RequestId id, std::uint32_t status,
                         std::span<const std::byte> output,
                         std::uint64_t needed) { server_->complete(id, status, output, needed); },
      .wake = [this] { wake(); },
      .ports = ports_,
      .ring_counters = [this] { return server_ ? &server_->counters() : nullptr; },
      .recent_events = [this] { return recent_events(); },
      .steering_reports = std::move(options.steering_reports),
      .queue_counters = std::move(options.queue_counters),
      .protocol_counters = std::move(options.protocol_counters),
      .clock = clock_});
  for (const int fd : {doorbell_.get(), server_ ? server_->wait_fd() : -1}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

Service::~Service() = default;

bool Service::turn(Instant now) {
  bool worked = false;
  if (server_) worked |= server_->poll(*this);
  worked |= take_messages(now);
  worked |= ports_.poll();
  worked |= scsi_.poll();
  worked |= names_.run_finished();
  worked |= files_.run_finished();
  worked |= run_posted();
  if (steering_events_)
    for (const std::string& event : steering_events_()) note(event);
  sessions_->on_time(now);
  operations_->on_time(now);
  worked |= operations_->poll(now);
  for (const auto& channel : channels_) worked |= channel->flush();
  return worked;
}

bool Service::take_messages(Instant now) {
  bool worked = false;
  for (std::uint32_t worker = 0; worker < channels_.size(); ++worker) {
    std::array<iscsi::ToControl, kMessagesPerTurn> messages;
    const std::size_t count = channels_[worker]->receive(messages);
    for (const iscsi::ToControl& message : std::span(messages).first(count)) {
      if (message.kind == iscsi::ToControlKind::queue_detached) {
        auto waiting = detaching_.extract(message.pointer);
        if (!waiting.empty() && waiting.mapped()) waiting.mapped()();
      } else {
        sessions_->on_message(worker, message, now);
      }
    }
    worked |= count > 0;
  }
  return worked;
}

bool Service::run_posted() {
  std::vector<std::function<void()>> posted;
  {
    const std::lock_guard lock(posted_mutex_);
    posted.swap(posted_);
  }
  for (const auto& work : posted) work();
  return !posted.empty();
}

bool Service::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    if (is_closed_) return false;
    posted_.push_back(std::move(work));
  }
  wake();
  return true;
}

bool Service::on_control_thread() const noexcept {
  return thread_.load(std::memory_order_relaxed) == this_thread();
}

void Service::wake() noexcept { eventfd_write(doorbell_.get(), 1); }

void Service::request_stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  wake();
}

void Service::attach_queue(std::uint32_t worker, worker::CommandQueue* queue) {
  channels_[worker]->send(iscsi::ToWorkerKind::attach_queue, {}, queue);
}

void Service::detach_queue(std::uint32_t worker, worker::CommandQueue* queue,
                           std::function<void()> done) {
  detaching_[queue] = std::move(done);
  channels_[worker]->send(iscsi::ToWorkerKind::detach_queue, {}, queue);
}

void Service::on_command(const ring::Request& request) {
  operations_->on_command(request, clock_());
}
void Service::on_cancel(ring::RequestId request) { operations_->on_cancel(request, clock_()); }
void Service::on_client_gone(ring::ClientId client) {
  operations_->on_client_gone(client, clock_());
}

void Service::note(const std::string& sentence) {
  events_.push_back(sentence);
  if (events_.size() > kEventsKept) events_.pop_front();
  if (log_) log_(sentence);
}

void Service::save_isids(const std::map<IsidKey, wire::Isid>& isids) {
  if (config_.state_directory.empty()) return;
  const auto problem = std::make_shared<std::string>();
  const bool is_posted = files_.post(
      [path = config_.state_directory, isids, problem] { *problem = write_isids(path, isids); },
      [this, problem] {
        if (!problem->empty()) note("ISIDs were not saved: " + *problem);
      });
  if (!is_posted) note("ISIDs were not saved: the disk does not keep up");
}

void Service::run() {
  thread_.store(this_thread(), std::memory_order_relaxed);
  Instant last_work = clock_();
  while (!stop_.load(std::memory_order_relaxed)) {
    const Instant now = clock_();
    if (turn(now)) last_work = now;
    const bool is_busy = sessions_->is_busy() || scsi_.in_flight() > 0 || !operations_->is_idle();
    if (now - last_work < (is_busy ? kSpinWhileBusy : kSpinAfterWork)) {
      pause();
    } else {
      sleep(now);
    }
  }
  end();
}

void Service::end() {
  is_ending_ = true;
  operations_->stop(clock_());
  sessions_->logout_all(clock_());
  const auto bound =
      std::chrono::duration_cast<Duration>(config_.logout.drain + config_.logout.timeout) +
      3 * kCloseTimeout;
  const Instant deadline = clock_() + bound;
  while (!sessions_->is_empty() && clock_() < deadline) {
    if (!turn(clock_())) sleep(clock_());
  }
  // Commands ended with their sessions. Queues are given back while workers and this thread still
  // serve.
  while ((operations_->has_benches() || scsi_.in_flight() > 0) && clock_() < deadline) {
    if (!turn(clock_())) sleep(clock_());
  }
  scsi_.close();
  {
    const std::lock_guard lock(posted_mutex_);
    is_closed_ = true;
  }
  run_posted();
  constexpr int kDetachMilliseconds = 100;
  for (int i = 0; i < kDetachMilliseconds && !detaching_.empty(); ++i) {
    if (!turn(clock_())) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const auto& channel : channels_) {
    channel->send(iscsi::ToWorkerKind::stop);
    channel->flush();
  }
  constexpr unsigned kSaveMilliseconds = 1000;
  files_.wait_until_idle(kSaveMilliseconds);
  thread_.store(0, std::memory_order_relaxed);
}

bool Service::prepare_sleep() {
  for (const auto& channel : channels_)
    channel->link().control_sleeps.store(true, std::memory_order_relaxed);
  // Pairs with the fence of the worker between its push and its look at the flag.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool has_work = (!is_ending_ && stop_.load(std::memory_order_relaxed)) ||
                  (server_ && !server_->prepare_sleep());
  for (const auto& channel : channels_) has_work |= channel->link().to_control.size() > 0;
  has_work |= ports_.has_news();
  return !has_work;
}

void Service::finish_sleep() {
  for (const auto& channel : channels_)
    channel->link().control_sleeps.store(false, std::memory_order_relaxed);
  if (server_) server_->finish_sleep();
  eventfd_t rings = 0;
  eventfd_read(doorbell_.get(), &rings);
}

Duration Service::sleep_limit(Instant now) const {
  const Instant next = std::min(sessions_->next_deadline(), operations_->next_deadline());
  Duration limit = next > now + kSleepMax ? kSleepMax : std::max(next - now, Duration::zero());
  if (scsi_.in_flight() > 0) limit = std::min(limit, kCompletionPoll);
  return limit;
}

void Service::sleep(Instant now) {
  const Duration limit = sleep_limit(now);
  // Helpers and other threads write the eventfd after they have stored their work: no look is
  // missed.
  if (prepare_sleep()) {
    epoll_event events[4];
    const timespec timeout{static_cast<time_t>(limit / 1s), static_cast<long>((limit % 1s) / 1ns)};
    if (epoll_pwait2(epoll_.get(), events, 4, &timeout, nullptr) < 0 && errno == ENOSYS) {
      const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
      epoll_wait(epoll_.get(), events, 4, static_cast<int>(milliseconds));
    }
  }
  finish_sleep();
}

bool load_state(const Config& config, SavedState& state, std::string& error) {
  if (!config.state_directory.empty())
    return open_state_directory(config.state_directory, state, error);
  state.boot_epoch = boot_epoch_from_time(std::time(nullptr));
  return true;
}

std::unique_ptr<ring::Server> listen(const Config& config, std::string& error) {
  ring::ServerOptions options;
  options.socket_path =
      config.ring.socket.empty() ? default_socket_path(config.instance) : config.ring.socket;
  options.manage_group = config.ring.manage_group;
  options.monitor_group = config.ring.monitor_group;
  if (config.ring.socket.empty() && geteuid() != 0) {
    // Anybody may have made a directory of that name in /tmp before us.
    const std::string directory = options.socket_path.substr(0, options.socket_path.rfind('/'));
    struct stat status {};
    mkdir(directory.c_str(), 0700);
    if (lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
        status.st_uid != geteuid() || (status.st_mode & 0077) != 0) {
      error = fmt::format(
          "{} must be a directory of this user alone (0700); correct it or set ring.socket",
          directory);
      return nullptr;
    }
  }
  auto server = ring::Server::listen(options);
  if (!server) {
    error = server.error().message;
    return nullptr;
  }
  return std::move(server.value());
}

}  // namespace pollux::service
