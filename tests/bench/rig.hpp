// What every measurement of a whole pollux stands on: an instance that the caller polls, logged in
// to a target, over a wire inside the process or a real port.
#pragma once

#include <pollux/pollux.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/target/lab.hpp"

namespace pollux::bench {

struct RigOptions {
  std::string wire = "ring";  ///< inside the process, to an embedded target; or virtio_user, memif
  std::string port;           ///< instead of it: a real port, as polluxd's flag --port has it
  std::string portal = "10.99.0.1";  ///< HOST[:PORT] of the target
  std::string target_name = "iqn.2026-01.org.pollux:disk";
  std::uint32_t lun = 0;
  std::string digests = "none";  ///< none, header or both
  std::uint32_t sessions = 1;
  std::uint32_t workers = 1;
  std::uint16_t mtu = 9000;
  bool software_checksums = false;
  bool ram_lun = false;  ///< of the embedded target; else the null unit
  int target_cpu = -1;
  /// Sessions that there is room for; 0: as many as log in.
  std::uint32_t sessions_max = 0;
  std::uint32_t queue_depth = 128;  ///< of each session at most
  /// For instances that are opened later in this process: the EAL takes its memory once.
  std::uint32_t spare_memory_mib = 0;
  /// Called before and after the embedded target is built: whose memory it is.
  void (*note_target)(bool begins) = nullptr;
  pollux_poll_mode poll_mode = POLLUX_POLL_EMBEDDER;
  std::vector<std::uint32_t> worker_cpus;  ///< of lcores that the library runs; empty: not pinned
};

class Rig {
 public:
  static constexpr std::uint64_t kLunBytes = 256 * MiB;

  explicit Rig(RigOptions options);
  /// Logs out and closes.
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  /// False: `error` is one sentence.
  bool open(std::string& error);

  [[nodiscard]] const RigOptions& options() const noexcept { return options_; }
  [[nodiscard]] pollux_instance& instance() noexcept { return *instance_; }
  /// Session `i` lives on worker i % workers.
  [[nodiscard]] const std::vector<pollux_session_id>& sessions() const noexcept {
    return sessions_;
  }
  [[nodiscard]] std::uint64_t lun() const noexcept { return std::uint64_t{options_.lun} << 48; }
  /// Null for a real port.
  [[nodiscard]] target::LabThread* target() noexcept { return lab_ ? lab_->thread() : nullptr; }
  /// Our end of a wire inside the process.
  [[nodiscard]] platform::DpdkPort* near_port() noexcept {
    return lab_ ? lab_->near_port() : nullptr;
  }
  [[nodiscard]] pollux_worker_stats stats(std::uint32_t worker) const;

 private:
  bool log_in(std::string& error);
  bool log_in_many(std::string& error);

  RigOptions options_;
  std::optional<target::Lab> lab_;
  pollux_instance* instance_ = nullptr;
  std::vector<pollux_session_id> sessions_;
};

}  // namespace pollux::bench
