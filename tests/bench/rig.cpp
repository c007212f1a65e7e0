#include "tests/bench/rig.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "control/library/instance.hpp"
#include "control/url/iscsi_url.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::bench {
namespace {

// Several may be open at once in one process; they share the EAL.
std::uint32_t rigs_made = 0;
std::uint32_t rigs_open = 0;
constexpr std::uint32_t kLoginsAtOnce = 32;

}  // namespace

Rig::Rig(RigOptions options) : options_(std::move(options)) {
  if (!options_.port.empty()) return;
  target::LabOptions lab;
  lab.cpu = options_.target_cpu;
  lab.emulate_checksum_offload = !options_.software_checksums;
  lab.target.connections = std::max(64u, std::bit_ceil(options_.sessions + 1));
  lab.target.luns = {{.kind = options_.ram_lun ? target::LunKind::ram : target::LunKind::null,
                      .bytes = kLunBytes,
                      .block_bytes = 512}};
  lab_.emplace(std::move(lab));
}

bool Rig::open(std::string& error) {
  library::OpenSetup setup;
  setup.config.instance = fmt::format("bench{}_{}", getpid(), ++rigs_made);
  setup.config.memory.hugepages = false;
  setup.config.worker.workers = options_.workers;
  setup.config.worker.cpus = options_.worker_cpus;
  setup.config.worker.sessions_max =
      options_.sessions_max != 0 ? options_.sessions_max : std::max(16u, options_.sessions);
  setup.config.worker.queue_depth = options_.queue_depth;
  const std::string port = lab_
                               ? fmt::format("name=wire device=ring:{} address=10.99.0.2/24 mtu={}",
                                             options_.wire, options_.mtu)
                               : options_.port;
  const auto config = service::parse_port_flag(port, error);
  if (!config) return false;
  setup.config.ports = {*config};
  setup.poll_mode = options_.poll_mode;
  if (lab_) {
    setup.ring_ports = [source = lab_->port_source(), note = options_.note_target](
                           const std::string& kind, const service::PortConfig& wire,
                           platform::DpdkPacketMemory& memory, std::string& reason) {
      if (note != nullptr) note(true);
      auto opened = source(kind, wire, memory, reason);
      if (note != nullptr) note(false);
      return opened;
    };
    setup.ring_memory_mib = target::kLabMemoryMib + options_.spare_memory_mib;
  }
  if (library::open_instance(std::move(setup), instance_, error) != POLLUX_OK) return false;
  ++rigs_open;
  return log_in(error);
}

bool Rig::log_in(std::string& error) {
  const std::string url = fmt::format("iscsi://{}/{}/{}?header_digest={}&data_digest={}",
                                      options_.portal, options_.target_name, options_.lun,
                                      options_.digests == "none" ? "none" : "crc32c",
                                      options_.digests == "both" ? "crc32c" : "none");
  pollux_error reason{};
  if (options_.sessions <= kLoginsAtOnce) {
    pollux_login_options login;
    pollux_login_options_init(&login);
    for (std::uint32_t i = 0; i < options_.sessions; ++i) {
      login.worker = i % options_.workers;
      pollux_session_id session = 0;
      if (pollux_login(instance_, url.c_str(), &login, &session, nullptr, &reason) != POLLUX_OK) {
        error = reason.message;
        return false;
      }
      sessions_.push_back(session);
    }
    return true;
  }
  return log_in_many(error);
}

/// As pollux_login() does for one, with several under way: thousands one by one would wait for as
/// many wake-ups of the control thread.
bool Rig::log_in_many(std::string& error) {
  service::LoginRequest request;
  const auto url =
      url::parse_url(fmt::format("iscsi://{}/{}", options_.portal, options_.target_name));
  if (!url) {
    error = url.error().message;
    return false;
  }
  request.portal.host = url->portal.host;
  request.portal.port = url->portal.port;
  request.target_name = options_.target_name;
  request.allows_several = true;
  request.offer = service::make_offer(instance_->setup.config.login);
  using Digests = std::vector<session::Digest>;
  if (options_.digests != "none") request.offer.header_digest = Digests{session::Digest::crc32c};
  if (options_.digests == "both") request.offer.data_digest = Digests{session::Digest::crc32c};
  // Written by the control thread, read when all are done.
  std::string failure;
  std::atomic<std::uint32_t> done{0};
  sessions_.resize(options_.sessions);
  std::uint32_t begun = 0;
  while (done.load(std::memory_order_acquire) < options_.sessions) {
    while (begun < options_.sessions && begun - done.load() < kLoginsAtOnce) {
      const std::uint32_t index = begun++;
      request.worker = index % options_.workers;
      const bool posted = instance_->service->post([&, request, index] {
        instance_->service->sessions().login(request, instance_->clock->now(),
                                             [&, index](const service::LoginReply& reply) {
                                               sessions_[index] = reply.session_id;
                                               if (!reply.is_ok()) failure = reply.sentence;
                                               done.fetch_add(1, std::memory_order_release);
                                             });
      });
      if (!posted) done.fetch_add(1);
    }
    for (std::uint32_t i = 0; i < options_.workers; ++i) pollux_worker_poll(instance_, i);
  }
  error = failure;
  return failure.empty();
}

Rig::~Rig() {
  if (instance_ == nullptr) return;
  // Many go together, as the instance is closed.
  if (sessions_.size() <= kLoginsAtOnce)
    for (const pollux_session_id session : sessions_) pollux_logout(instance_, session, nullptr);
  pollux_close(instance_);
  if (--rigs_open == 0) platform::stop_eal();
}

pollux_worker_stats Rig::stats(std::uint32_t worker) const {
  pollux_worker_stats stats{};
  stats.size = sizeof(stats);
  pollux_worker_stats_get(instance_, worker, &stats);
  return stats;
}

}  // namespace pollux::bench
