// pollux-lab: the service together with the embedded target, joined by a wire inside the process.
// Needs no root, no hugepages and no network; the pollux program works with it as with polluxd.
#include <fmt/format.h>
#include <pollux/pollux.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "control/library/instance.hpp"
#include "control/selftest/self_test.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/target/lab.hpp"

namespace {

struct Flags {
  std::string instance = "lab";
  std::string socket;
  std::string state_directory;
  std::uint32_t ram_mib = 64;
  std::uint16_t mtu = 9000;
  int target_cpu = -1;
  std::vector<std::uint32_t> worker_cpu;
  bool software_checksums = false;
  bool no_tso = false;
  std::string wire = "ring";
  bool telemetry = false;
  bool self_test = false;
  bool json = false;
};

int serve(const Flags& flags) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  pollux::target::LabOptions lab_options;
  lab_options.cpu = flags.target_cpu;
  lab_options.emulate_checksum_offload = !flags.software_checksums;
  lab_options.target.luns = {
      {.kind = pollux::target::LunKind::ram,
       .bytes = flags.ram_mib * pollux::MiB,
       .block_bytes = 512},
      {.kind = pollux::target::LunKind::null, .bytes = 1 * pollux::GiB, .block_bytes = 512}};
  pollux::target::Lab lab(lab_options);

  pollux::library::OpenSetup setup;
  setup.config.instance = flags.instance;
  setup.config.memory.hugepages = false;
  setup.config.telemetry.enabled = flags.telemetry;
  setup.config.ring.socket = flags.socket;
  setup.config.state_directory = flags.state_directory;
  setup.config.worker.cpus = flags.worker_cpu;
  setup.config.worker.sessions_max = 16;
  setup.config.ports = {{.name = "wire",
                         .device = "ring:" + flags.wire,
                         .interface = {.address = pollux::net::IpAddress::v4(10, 99, 0, 2),
                                       .prefix_length = 24,
                                       .gateway = {}},
                         .mtu = flags.mtu,
                         .checksum_offload = !flags.software_checksums,
                         .tso = !flags.no_tso}};
  setup.open_ring = true;
  setup.log = [](void*, int, const char* line) { fmt::print(stderr, "pollux-lab: {}\n", line); };
  setup.ring_ports = lab.port_source();
  setup.ring_memory_mib = pollux::target::kLabMemoryMib;
  if (flags.self_test)
    return pollux::selftest::self_test_main(setup.config, setup.ring_ports, setup.ring_memory_mib,
                                            "10.99.0.1:3260", flags.json);
  pollux_instance* instance = nullptr;
  std::string error;
  if (pollux::library::open_instance(std::move(setup), instance, error) != POLLUX_OK) {
    pollux::platform::stop_eal();
    fmt::print(stderr, "pollux-lab: {}\n", error);
    return 1;
  }
  fmt::print("pollux-lab: ready, target {} at 10.99.0.1:3260, instance {}\n",
             lab_options.target.names.front(), flags.instance);
  std::fflush(stdout);
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const std::uint64_t violations = lab.thread() != nullptr ? lab.thread()->violations() : 0;
  pollux_close(instance);
  // The library leaves DPDK running for a next instance; this program has none, and leaves no
  // files.
  pollux::platform::stop_eal();
  if (violations != 0)
    fmt::print(stderr, "pollux-lab: the target noted {} violations of the protocol\n", violations);
  return violations == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"pollux-lab: the pollux service with an iSCSI target of its own inside the process",
               "pollux-lab"};
  app.add_option("--instance", flags.instance, "name of the instance");
  app.add_option("--socket", flags.socket, "socket of the command ring");
  app.add_option("--state-dir", flags.state_directory, "where boot counter and ISIDs are kept");
  app.add_option("--ram-mib", flags.ram_mib,
                 "size of LUN 0, a RAM disk; LUN 1 discards and gives a pattern");
  app.add_option("--mtu", flags.mtu, "of the wire")->check(CLI::Range(576, 9000));
  app.add_option("--target-cpu", flags.target_cpu, "CPU of the target's thread");
  app.add_option("--cpu", flags.worker_cpu, "CPU of the worker");
  app.add_flag("--software-checksums", flags.software_checksums, "compute checksums on both sides");
  app.add_flag("--no-tso", flags.no_tso, "the port is never asked to cut large segments");
  app.add_option("--wire", flags.wire, "between pollux and the target")
      ->check(CLI::IsMember({"ring", "memif", "virtio_user"}));
  app.add_flag("--telemetry", flags.telemetry, "open DPDK's telemetry socket");
  app.add_flag("--self-test", flags.self_test, "say what works on the wire, and end");
  app.add_flag("--json", flags.json, "the self-test's result for programs");
  CLI11_PARSE(app, argc, argv);
  return serve(flags);
}
