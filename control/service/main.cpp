// polluxd: an instance of the library with its command ring open, from a file, flags or both. Flags
// win. Runs in the foreground until SIGINT or SIGTERM, then logs every session out within the
// configured time-outs; a second signal ends it at once.
#include <fmt/format.h>
#include <pollux/pollux.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "control/selftest/self_test.hpp"
#include "control/service/config.hpp"
#include "control/service/memory_check.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::service {
namespace {

/// iscsiadm's numbers where it has one, as the CLI uses them.
enum ExitCode { kOk = 0, kGeneric = 1, kNoMemory = 3, kInvalid = 7, kAccess = 13, kBusy = 28 };

struct Flags {
  std::string config_path;
  bool check_config = false;
  bool print_config = false;
  bool foreground = true;
  std::vector<std::string> ports;
  std::string instance, initiator_name, socket, state_directory, manage_group, monitor_group;
  std::vector<std::uint32_t> cpus;
  std::uint32_t workers = 0;
  std::uint32_t sessions_max = 0;
  std::uint32_t memory_mib = 0;
  bool no_hugepages = false;
  double login_timeout = 0;
  std::string header_digest, data_digest;
  bool self_test = false;
  std::string self_test_target;
  bool json = false;
};

int fail(int code, const std::string& sentence) {
  fmt::print(stderr, "polluxd: {}\n", sentence);
  return code;
}

void declare(CLI::App& app, Flags& flags) {
  app.add_option("-c,--config", flags.config_path, "configuration file (TOML)");
  app.add_flag("--check-config", flags.check_config,
               "say what the configuration needs, start nothing");
  app.add_flag("--print-config", flags.print_config,
               "print the configuration in force, start nothing");
  app.add_flag("--foreground", flags.foreground, "stay in the foreground (always so)");
  app.add_option("--port", flags.ports,
                 "\"device=net_tap0,iface=t0 address=10.99.0.2/24 [name=..] [gateway=..] "
                 "[mtu=..] [detect_conflicts=true]\"; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--instance", flags.instance, "name of the instance");
  app.add_option("--initiator-name", flags.initiator_name, "iSCSI name of this initiator");
  app.add_option("--socket", flags.socket, "socket of the command ring");
  app.add_option("--manage-group", flags.manage_group, "group that may operate on sessions");
  app.add_option("--monitor-group", flags.monitor_group, "group that may look");
  app.add_option("--state-dir", flags.state_directory, "where boot counter and ISIDs are kept");
  app.add_option("--workers", flags.workers, "how many workers share the ports");
  app.add_option("--cpus", flags.cpus, "where they run, one CPU each")->delimiter(',');
  app.add_option("--sessions-max", flags.sessions_max, "sessions of one worker");
  app.add_option("--memory-mib", flags.memory_mib, "EAL memory");
  app.add_flag("--no-hugepages", flags.no_hugepages, "use ordinary memory");
  app.add_option("--login-timeout", flags.login_timeout, "seconds for a whole login");
  app.add_option("--header-digest", flags.header_digest,
                 "none, crc32c, or both in the order preferred");
  app.add_flag("--self-test", flags.self_test,
               "bring the ports up, say what works on them, and end");
  app.add_option("--self-test-target", flags.self_test_target,
                 "IPv4 host to test with, and a port if a portal listens there; else the gateway");
  app.add_flag("--json", flags.json, "the self-test's result for programs");
  app.add_option("--data-digest", flags.data_digest,
                 "none, crc32c, or both in the order preferred");
}

bool apply_digest(const std::string& text, const char* flag, DigestPreference& preference,
                  std::string& error) {
  if (text.empty()) return true;
  const auto parsed = parse_digest_preference(text);
  if (!parsed) {
    error = fmt::format("{} must be none, crc32c, none,crc32c or crc32c,none", flag);
    return false;
  }
  preference = *parsed;
  return true;
}

bool apply(const Flags& flags, Config& config, std::string& error) {
  if (!flags.instance.empty()) config.instance = flags.instance;
  if (!flags.initiator_name.empty()) config.initiator_name = flags.initiator_name;
  if (!flags.socket.empty()) config.ring.socket = flags.socket;
  if (!flags.manage_group.empty()) config.ring.manage_group = flags.manage_group;
  if (!flags.monitor_group.empty()) config.ring.monitor_group = flags.monitor_group;
  if (!flags.state_directory.empty()) config.state_directory = flags.state_directory;
  if (flags.workers != 0) config.worker.workers = flags.workers;
  if (!flags.cpus.empty()) config.worker.cpus = flags.cpus;
  if (flags.sessions_max != 0) config.worker.sessions_max = flags.sessions_max;
  if (flags.memory_mib != 0) config.memory.memory_mib = flags.memory_mib;
  if (flags.no_hugepages) config.memory.hugepages = false;
  if (flags.login_timeout > 0) config.login.timeout = Seconds{flags.login_timeout};
  if (!flags.ports.empty()) config.ports.clear();
  for (const std::string& text : flags.ports) {
    auto port = parse_port_flag(text, error);
    if (!port) return false;
    if (port->name.empty()) port->name = fmt::format("port{}", config.ports.size());
    config.ports.push_back(*port);
  }
  if (!apply_digest(flags.header_digest, "--header-digest", config.login.header_digest, error) ||
      !apply_digest(flags.data_digest, "--data-digest", config.login.data_digest, error)) {
    return false;
  }
  if (config.state_directory.empty())
    config.state_directory = default_state_directory(config.instance);
  if (config.ports.empty()) {
    error = "no port is configured; give --config FILE or --port \"device=... address=...\"";
    return false;
  }
  // Reading back what was written checks flags by the rules of the file.
  return parse_config(to_toml(config), "command line", error).has_value();
}

int exit_code(int code) {
  switch (code) {
    case POLLUX_ECONFIG:
    case POLLUX_EINVAL:
      return kInvalid;
    case POLLUX_EACCES:
      return kAccess;
    case POLLUX_EBUSY:
      return kBusy;
    case POLLUX_ENOMEM:
      return kNoMemory;
    default:
      return kGeneric;
  }
}

int serve(const Config& config) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  // Before any thread exists, so that all of them inherit the mask and only this one takes signals.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const std::string text = to_toml(config);
  pollux_options options;
  pollux_options_init(&options);
  options.config_text = text.c_str();
  options.open_ring = 1;
  options.log = [](void*, int, const char* line) { fmt::print(stderr, "polluxd: {}\n", line); };
  pollux_instance* instance = nullptr;
  pollux_error error{};
  if (const int code = pollux_open(&options, &instance, &error); code != POLLUX_OK) {
    platform::stop_eal();
    return fail(exit_code(code), error.message);
  }
  fmt::print("polluxd: ready on {}\n", config.ring.socket.empty()
                                           ? default_socket_path(config.instance)
                                           : config.ring.socket);
  std::fflush(stdout);
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  fmt::print(stderr, "polluxd: logging out and ending\n");
  // Whoever asks twice does not want to wait for the targets.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  pollux_close(instance);
  // The library leaves DPDK running for a next instance; this program has none, and leaves no
  // files.
  platform::stop_eal();
  return kOk;
}

int run(int argc, char** argv) {
  Flags flags;
  CLI::App app{"polluxd: the pollux iSCSI initiator as a service", "polluxd"};
  declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& fault) {
    if (fault.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(fault);
    return fail(kInvalid, fmt::format("{}; polluxd --help lists the flags", fault.what()));
  }
  std::string error;
  Config config;
  if (!flags.config_path.empty()) {
    auto loaded = load_config(flags.config_path, error);
    if (!loaded) return fail(kInvalid, error);
    config = std::move(*loaded);
  }
  if (!apply(flags, config, error)) return fail(kInvalid, error);
  if (flags.print_config) {
    fmt::print("{}", to_toml(config));
    return kOk;
  }
  platform::MemoryPlan plan;
  if (!check_memory(config, free_hugepages(), plan, error)) {
    if (flags.check_config && !plan.lines.empty()) fmt::print("{}", describe_memory(config, plan));
    return fail(kInvalid, error);
  }
  if (flags.check_config) {
    fmt::print("{}configuration: ok\n", describe_memory(config, plan));
    return kOk;
  }
  if (flags.self_test)
    return selftest::self_test_main(config, {}, 0, flags.self_test_target, flags.json);
  return serve(config);
}

}  // namespace
}  // namespace pollux::service

int main(int argc, char** argv) { return pollux::service::run(argc, argv); }
