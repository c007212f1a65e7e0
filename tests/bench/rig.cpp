#include "tests/bench/rig.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "control/library/instance.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::bench {
namespace {

// Several may be open at once in one process; they share the EAL.
std::uint32_t rigs_made = 0;
std::uint32_t rigs_open = 0;

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
  pollux_login_options login;
  pollux_login_options_init(&login);
  pollux_error reason{};
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

Rig::~Rig() {
  if (instance_ == nullptr) return;
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
