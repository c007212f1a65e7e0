#include "control/selftest/self_test.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/selftest/prober.hpp"
#include "control/service/config_text.hpp"
#include "control/service/eal_setup.hpp"
#include "control/service/memory_check.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/external_memory.hpp"
#include "dataplane/platform/tsc_clock.hpp"

namespace pollux::selftest {
namespace {

constexpr std::size_t kStoreBytes = 4096;
constexpr Duration kAnswer = 1s;     // one answer
constexpr Duration kNeighbour = 4s;  // three requests, a second apart
constexpr Duration kLink = 5s;
constexpr Duration kDuplicates = 5s;  // RFC 4862 5.4.2: a random delay and a second for each probe
constexpr std::uint16_t kUnusedPort = 9;  // discard: hardly anybody listens there
constexpr std::size_t kSmallPing = 84;
// Pieces of odd length in the middle: where drivers' checksum functions go wrong.
constexpr std::array<std::uint32_t, 4> kOddPieces = {1, 333, 257, 100};

struct FreeMemory {
  void operator()(std::byte* memory) const noexcept { std::free(memory); }
};

/// The checks of one port, in the order in which each needs the one before.
class PortTest {
 public:
  PortTest(platform::Port& port, platform::PacketMemory& memory, const service::PortConfig& config,
           const SelfTestOptions& options, std::span<std::byte> store, PortResult& result)
      : config_(config),
        options_(options),
        clock_(platform::tsc_hz()),
        spy_(port),
        prober_(spy_, memory, config.interface, store, [this] { return clock_.now(); }),
        result_(result) {}

  void run() {
    if (!link()) return;
    ipv6();
    spreading();
    if (!target()) return;
    if (neighbour() && small_ping()) {
      mtu();
      checksums();
      portal();
    }
    completion();
  }

 private:
  void add(const char* name, Verdict verdict, std::string sentence) {
    result_.checks.push_back({name, verdict, std::move(sentence)});
  }

  bool link() {
    const bool is_up =
        prober_.run([this] { return spy_.check() == platform::PortState::up; }, kLink);
    add("link", is_up ? Verdict::passed : Verdict::failed,
        is_up ? "the link is up"
              : fmt::format("the link is still down after {} s: check the cable, or the other end",
                            kLink / 1s));
    return is_up;
  }

  /// The addresses are nobody else's (RFC 4862 5.4), and the gateway answers neighbour discovery.
  void ipv6() {
    const net::InterfaceConfig& interface = config_.interface;
    if (!interface.has_ipv6()) return;
    prober_.run([this] { return prober_.ipv6_state() != net::Ipv6State::checking; }, kDuplicates);
    const net::Ipv6State state = prober_.ipv6_state();
    if (state == net::Ipv6State::ready)
      add("ipv6 address", Verdict::passed, "nobody else on the link has the port's IPv6 addresses");
    else
      add("ipv6 address", Verdict::failed,
          state == net::Ipv6State::duplicate
              ? "another station has an IPv6 address of this port: give it another one"
              : fmt::format("the check for duplicates is not over after {} s", kDuplicates / 1s));
    if (state != net::Ipv6State::ready || interface.gateway6 == net::IpAddress{}) return;
    const bool is_known = prober_.resolve(interface.gateway6, kNeighbour);
    const std::string name = service::to_text(interface.gateway6);
    add("ipv6 neighbour", is_known ? Verdict::passed : Verdict::failed,
        is_known
            ? fmt::format("{} answers neighbour discovery", name)
            : fmt::format("{} does not answer neighbour discovery: check address, prefix, VLAN "
                          "and multicast on the way",
                          name));
  }

  /// Whether the device spreads as told shows with the first connections of several workers.
  void spreading() {
    const platform::Capabilities& table = result_.report.capabilities;
    const unsigned queues = std::min(table.rx_queues_most, table.tx_queues_most);
    if (table.driver.empty() || queues < 2) {
      add("spreading over queues", Verdict::noted,
          "the port has one queue: several workers would hand frames over in software");
    } else if (!table.at(platform::Feature::rss).offered) {
      add("spreading over queues", Verdict::noted,
          fmt::format("the port has {} queues but offers no hash to spread connections by",
                      queues));
    } else {
      add("spreading over queues", Verdict::noted,
          fmt::format("the port has {} queues and a hash to spread connections by; the self-test "
                      "uses one queue",
                      queues));
    }
  }

  bool target() {
    target_ = options_.target != net::IpAddress{} ? options_.target : config_.interface.gateway;
    if (target_ != net::IpAddress{} && target_.is_v4()) return true;
    add("neighbour", Verdict::skipped,
        "there is no gateway to ask: name an IPv4 host with --self-test-target");
    return false;
  }

  bool neighbour() {
    const bool is_known = prober_.resolve(target_, kNeighbour);
    const std::string name = service::to_text(target_);
    add("neighbour", is_known ? Verdict::passed : Verdict::failed,
        is_known ? fmt::format("the next hop to {} answers ARP", name)
                 : fmt::format("nobody answers ARP for {}: check address, prefix, VLAN and cabling",
                               name));
    return is_known;
  }

  bool small_ping() {
    bool answered = false;
    for (int tries = 0; tries < 3 && !answered; ++tries)
      answered = prober_.ping(target_, kSmallPing, kAnswer);
    add("echo", answered ? Verdict::passed : Verdict::failed,
        answered ? fmt::format("{} answers an echo request", service::to_text(target_))
                 : fmt::format("{} answers ARP but no echo request of {} bytes: a firewall?",
                               service::to_text(target_), kSmallPing));
    return answered;
  }

  void mtu() {
    const std::size_t wanted = config_.mtu;
    for (int tries = 0; tries < 2; ++tries) {
      if (!prober_.ping(target_, wanted, kAnswer)) continue;
      return add("mtu", Verdict::passed,
                 fmt::format("{} bytes pass there and back unfragmented", wanted));
    }
    std::size_t good = kSmallPing;
    for (std::size_t bad = wanted; bad - good > 1;) {
      const std::size_t middle = good + (bad - good) / 2;
      (prober_.ping(target_, middle, kAnswer / 4) ? good : bad) = middle;
    }
    add("mtu", Verdict::failed,
        fmt::format("{} bytes do not pass; {} do: set mtu = {} or raise it on the way (on a veth "
                    "pair the peer's MTU counts too)",
                    wanted, good, good));
  }

  /// One probe with sums of ours tells whether the target answers at all; one with the port's sums
  /// whether they are right.
  void checksums() {
    const net::Endpoint endpoint{target_, options_.port != 0 ? options_.port : kUnusedPort};
    spy_.use_offload(false);
    const bool answers = probe(endpoint);
    spy_.use_offload(true);
    const std::string name = service::to_text(endpoint);
    if (!answers) {
      add("transmit checksum", Verdict::skipped,
          fmt::format("{} answers no TCP, so the sums of the port cannot be judged", name));
    } else if (!spy_.info().tx_l4_checksum) {
      add("transmit checksum", Verdict::passed,
          fmt::format("computed in software over pieces of odd length, and {} believes them",
                      name));
    } else if (probe(endpoint)) {
      add("transmit checksum", Verdict::passed,
          fmt::format("the port computes them over pieces of odd length, and {} believes them",
                      name));
    } else {
      add("transmit checksum", Verdict::failed,
          fmt::format("{} answers when the sums are ours and not when they are the port's: set "
                      "checksum_offload = false for this port",
                      name));
    }
    const ChecksumVerdicts& said = spy_.verdicts();
    if (said.frames == 0) {
      add("receive checksum", Verdict::noted, "the port does not check sums: software does");
    } else if (said.wrong == 0) {
      add("receive checksum", Verdict::passed,
          fmt::format("the port and software agree on {} segments", said.agreed));
    } else if (is_same_host()) {
      add("receive checksum", Verdict::noted,
          "the port vouches for segments without sums, as ports between programs of one host do");
    } else {
      add("receive checksum", Verdict::failed,
          fmt::format("the port's verdict was wrong for {} of {} segments: set checksum_offload = "
                      "false for this port",
                      said.wrong, said.frames));
    }
  }

  [[nodiscard]] bool is_same_host() const {
    const platform::DriverQuirks& quirks = platform::quirks_of(result_.report.capabilities.driver);
    return quirks.rx_none_good || quirks.any_frame;
  }

  bool probe(const net::Endpoint& endpoint) {
    for (int tries = 0; tries < 3; ++tries)
      if (prober_.tcp(endpoint, kOddPieces, kAnswer) != TcpAnswer::none) return true;
    return false;
  }

  void portal() {
    if (options_.port == 0) return;
    const net::Endpoint endpoint{target_, options_.port};
    TcpAnswer answer = TcpAnswer::none;
    for (int tries = 0; tries < 3 && answer == TcpAnswer::none; ++tries)
      answer = prober_.tcp(endpoint, {}, kAnswer);
    const std::string name = service::to_text(endpoint);
    if (answer == TcpAnswer::accepted)
      add("portal", Verdict::passed, fmt::format("{} accepts connections", name));
    else
      add("portal", Verdict::failed,
          answer == TcpAnswer::refused
              ? fmt::format("{} refuses connections: no target listens there", name)
              : fmt::format("{} does not answer: a firewall, or the wrong address", name));
  }

  /// Drivers give transmitted buffers back when they like; until then the application's memory is
  /// pinned.
  void completion() {
    const auto is_back = [this] { return prober_.in_flight() == 0; };
    const Instant start = clock_.now();
    if (prober_.run(is_back, 20ms)) {
      add("transmit completion", Verdict::passed,
          "the driver gives transmitted buffers back by itself");
      return;
    }
    const bool asked = prober_.run(
        [&] {
          spy_.reclaim();
          return is_back();
        },
        200ms);
    const auto milliseconds = (clock_.now() - start) / 1ms;
    if (asked) {
      add("transmit completion", Verdict::passed,
          fmt::format("the driver gives transmitted buffers back when asked ({} ms)",
                      milliseconds));
      return;
    }
    for (int i = 0; i < 256 && !is_back(); ++i) {
      prober_.ping(target_, kSmallPing, 1ms);
      spy_.reclaim();
    }
    add("transmit completion", Verdict::noted,
        is_back() ? "the driver keeps transmitted buffers until more is sent: memory of an idle "
                    "application stays pinned"
                  : fmt::format("the driver still holds {} transmitted buffers: memory of an idle "
                                "application stays pinned",
                                prober_.in_flight()));
  }

  const service::PortConfig& config_;
  const SelfTestOptions& options_;
  platform::TscClock clock_;
  SpyPort spy_;
  Prober prober_;
  PortResult& result_;
  net::IpAddress target_;
};

/// A port of its own with pools of its own, closed again at the end.
void test_port(const service::PortConfig& port, const platform::MemoryPlan& plan,
               const library::RingPortSource& ring_ports, const SelfTestOptions& options,
               PortResult& result) {
  std::string error;
  const auto refuse = [&] { result.checks.push_back({"opens", Verdict::failed, error}); };
  platform::DpdkMemoryOptions memory_options = plan.options;
  memory_options.trackers = std::max(memory_options.trackers, 1u);
  const auto memory = platform::DpdkPacketMemory::create(memory_options, error);
  if (memory == nullptr) return refuse();
  std::unique_ptr<platform::DpdkPort> owned;
  std::shared_ptr<platform::Port> shared;
  if (port.device.starts_with("ring:")) {
    error = "it is a wire inside the process, which only pollux-lab has";
    if (ring_ports) shared = ring_ports(port.device.substr(5), port, *memory, error);
  } else {
    owned = platform::open_port(service::port_options(port), *memory, error);
  }
  platform::Port* const opened = owned ? owned.get() : shared.get();
  if (opened == nullptr) return refuse();
  if (const platform::Capabilities* table = opened->capabilities(); table != nullptr)
    result.report.capabilities = *table;
  result.checks.push_back({"opens", Verdict::passed, "the port was configured and started"});

  const std::unique_ptr<std::byte, FreeMemory> store(
      static_cast<std::byte*>(std::aligned_alloc(kStoreBytes, kStoreBytes)));
  if (!platform::register_external_memory(store.get(), kStoreBytes, error)) return refuse();
  PortTest(*opened, *memory, port, options, {store.get(), kStoreBytes}, result).run();
  owned.reset();
  shared.reset();
  platform::unregister_external_memory(store.get(), kStoreBytes);
}

const char* to_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "ok";
    case Verdict::failed:
      return "FAILED";
    case Verdict::skipped:
      return "skipped";
    case Verdict::noted:
      return "note";
  }
  return "";
}

}  // namespace

bool run_self_test(const service::Config& config, const library::RingPortSource& ring_ports,
                   std::uint32_t ring_memory_mib, const SelfTestOptions& options,
                   std::vector<PortResult>& results, std::string& error) {
  platform::MemoryPlan plan;
  if (!service::check_memory(config, service::free_hugepages(), plan, error)) return false;
  if (!platform::start_eal(service::eal_options(config, plan, ring_memory_mib), error))
    return false;
  // The thread that polls has caches in the pools.
  if (!platform::register_worker_thread(error)) return false;
  for (const service::PortConfig& port : config.ports) {
    PortResult& result = results.emplace_back();
    result.report.name = port.name;
    result.device = port.device;
    test_port(port, plan, ring_ports, options, result);
  }
  return true;
}

bool passed(const std::vector<PortResult>& results) {
  for (const PortResult& result : results)
    for (const Check& check : result.checks)
      if (check.verdict == Verdict::failed) return false;
  return !results.empty();
}

std::string to_words(const std::vector<PortResult>& results) {
  std::string text;
  for (const PortResult& result : results) {
    if (!result.report.capabilities.driver.empty())
      for (const std::string& line : service::describe(result.report)) text += line + "\n";
    for (const Check& check : result.checks) {
      text += fmt::format("port {}: {:<22} {:<8} {}\n", result.report.name, check.name,
                          to_text(check.verdict), check.sentence);
    }
  }
  return text + (passed(results) ? "self-test: ok\n" : "self-test: FAILED\n");
}

nlohmann::ordered_json to_json(const std::vector<PortResult>& results) {
  nlohmann::ordered_json json;
  json["schema"] = "pollux.self_test.1";
  json["passed"] = passed(results);
  json["ports"] = nlohmann::ordered_json::array();
  for (const PortResult& result : results) {
    nlohmann::ordered_json port;
    port["name"] = result.report.name;
    port["device"] = result.device;
    if (!result.report.capabilities.driver.empty())
      port["capabilities"] = service::to_json(result.report.capabilities);
    port["checks"] = nlohmann::ordered_json::array();
    for (const Check& check : result.checks)
      port["checks"].push_back({{"check", check.name},
                                {"verdict", to_text(check.verdict)},
                                {"sentence", check.sentence}});
    json["ports"].push_back(std::move(port));
  }
  return json;
}

bool parse_target(const std::string& text, SelfTestOptions& options, std::string& error) {
  const std::size_t colon = text.find(':');
  const auto address = service::parse_ipv4(text.substr(0, colon));
  unsigned long port = 0;
  bool good = address.has_value();
  if (colon != std::string::npos) {
    char* end = nullptr;
    port = std::strtoul(text.c_str() + colon + 1, &end, 10);
    good = good && *end == '\0' && port >= 1 && port <= 65'535;
  }
  if (!good) {
    error = fmt::format(
        "\"{}\" is no target: give an IPv4 address, and a port if a portal listens "
        "there, like 10.99.0.1:3260",
        text);
    return false;
  }
  options.target = *address;
  options.port = static_cast<std::uint16_t>(port);
  return true;
}

int self_test_main(const service::Config& config, const library::RingPortSource& ring_ports,
                   std::uint32_t ring_memory_mib, const std::string& target, bool json) {
  SelfTestOptions options;
  std::string error;
  std::vector<PortResult> results;
  const bool ran = (target.empty() || parse_target(target, options, error)) &&
                   run_self_test(config, ring_ports, ring_memory_mib, options, results, error);
  platform::unregister_worker_thread();
  platform::stop_eal();
  if (!ran) {
    fmt::print(stderr, "self-test: {}\n", error);
    return 1;
  }
  fmt::print("{}", json ? to_json(results).dump(2) + "\n" : to_words(results));
  return passed(results) ? 0 : 1;
}

}  // namespace pollux::selftest
