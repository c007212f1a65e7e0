#include "control/selftest/self_test.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "control/selftest/port_checks.hpp"
#include "control/service/config_text.hpp"
#include "control/service/eal_setup.hpp"
#include "control/service/memory_check.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/external_memory.hpp"
#include "dataplane/platform/tsc_clock.hpp"

namespace pollux::selftest {
namespace {

constexpr std::size_t kStoreBytes = 4096;

struct FreeMemory {
  void operator()(std::byte* memory) const noexcept { std::free(memory); }
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
  const platform::TscClock clock(platform::tsc_hz());
  check_port(
      *opened, *memory, port, options, {store.get(), kStoreBytes}, [&clock] { return clock.now(); },
      result);
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
