#include "control/library/instance_ports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "dataplane/iscsi/counters.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/tcp/counters.hpp"

namespace pollux::library {
namespace {

using worker::SteeringVerdict;

std::string_view words(SteeringVerdict verdict) {
  switch (verdict) {
    case SteeringVerdict::software:
      return "in software";
    case SteeringVerdict::unproved:
      return "by the device, not seen yet";
    case SteeringVerdict::confirmed:
      return "by the device";
    case SteeringVerdict::wrong_hash:
      return "in software, the device computes another hash than it was told to";
    case SteeringVerdict::wrong_queue:
      return "in software, the device does not follow its table";
  }
  return "";
}

}  // namespace

platform::Port& PortUnit::of(std::size_t worker) noexcept {
  if (shared != nullptr) return shared->share(worker);
  return ring != nullptr ? *ring : *opened.queues[worker];
}

bool share_port(PortUnit& unit, std::span<platform::PacketMemory* const> memories,
                std::string& error) {
  if (memories.size() == 1) return true;
  std::vector<platform::Port*> queues;
  if (unit.ring != nullptr) {
    queues.push_back(unit.ring.get());
    unit.opened.words = "a wire inside the process has one queue";
    unit.opened.steering =
        platform::Steering::create({.rule = platform::SteeringRule::port_bits,
                                    .workers = static_cast<unsigned>(memories.size())},
                                   error);
    if (unit.opened.steering == nullptr) return false;
  }
  for (const auto& queue : unit.opened.queues) queues.push_back(queue.get());
  unit.shared = std::make_unique<worker::SharedPort>(
      worker::SharedPortSetup{.queues = queues,
                              .memories = memories,
                              .steering = *unit.opened.steering,
                              .device_steers = unit.opened.device_steers,
                              .device_steers_ipv6 = unit.opened.device_steers_ipv6});
  return true;
}

bool hand_over(std::span<const std::unique_ptr<PortUnit>> ports) noexcept {
  return std::any_of(ports.begin(), ports.end(), [](const std::unique_ptr<PortUnit>& port) {
    if (port->shared == nullptr) return false;
    const platform::OpenedQueues& opened = port->opened;
    return port->shared->verdict() != SteeringVerdict::confirmed || !opened.device_steers_ipv6 ||
           opened.queues.size() < opened.steering->workers();
  });
}

std::string steering_event(PortUnit& unit) {
  if (unit.shared == nullptr) return {};
  const SteeringVerdict verdict = unit.shared->verdict();
  if (verdict == unit.reported ||
      (verdict != SteeringVerdict::wrong_hash && verdict != SteeringVerdict::wrong_queue))
    return {};
  unit.reported = verdict;
  return fmt::format("port {}: frames are steered {}; workers hand them over", unit.name,
                     words(verdict));
}

service::SteeringReport report(const PortUnit& unit, std::size_t workers) {
  service::SteeringReport result{.name = unit.name, .steering = "one worker", .counters = {}};
  if (unit.shared == nullptr) return result;
  result.steering = words(unit.shared->verdict());
  const auto add = [&](const char* name, Counter worker::HandoverCounters::*counter) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < workers; ++i) sum += (unit.shared->counters(i).*counter).get();
    result.counters.emplace_back(name, sum);
  };
  using C = worker::HandoverCounters;
  add("handed_over", &C::given);
  add("taken_over", &C::taken);
  add("copied_bytes", &C::copied_bytes);
  add("notices_given", &C::notices_given);
  add("icmp_errors_given", &C::errors_given);
  add("dropped_ring_full", &C::dropped_full);
  add("dropped_no_buffer", &C::dropped_no_buffer);
  add("relayed", &C::relayed);
  add("relay_waits", &C::relay_waits);
  add("relay_dropped_oversize", &C::relay_dropped_oversize);
  add("steering_checked", &C::hash_checked);
  add("steering_hash_mismatches", &C::hash_mismatches);
  add("steering_wrong_queue", &C::wrong_queue);
  return result;
}

std::vector<service::CounterReport> queue_counters(const PortUnit& unit) {
  std::vector<service::CounterReport> result;
  for (const auto& queue : unit.opened.queues) {
    service::CounterReport& counters = result.emplace_back();
    counters.port = unit.name;
    counters.worker = static_cast<std::uint32_t>(result.size() - 1);
    for (const platform::PortCounterRow& row : platform::kPortCounterRows)
      counters.counters.emplace_back(row.name, (queue->counters().*row.member).get());
  }
  return result;
}

std::vector<service::CounterReport> protocol_counters(
    const worker::Worker& worker, std::uint32_t index,
    std::span<const std::unique_ptr<PortUnit>> ports) {
  std::vector<service::CounterReport> result;
  const auto add = [&](const auto& rows, auto member, const auto& counters) {
    for (const auto& row : rows)
      result.back().counters.emplace_back(row.name, (counters.*(row.*member)).get());
  };
  for (std::size_t path = 0; path < worker.path_count(); ++path) {
    result.push_back({.port = ports[path]->name, .worker = index, .counters = {}});
    add(net::kCounterDescriptions, &net::CounterDescription::counter,
        worker.interface(path).counters());
    add(tcp::kCounterRows, &tcp::CounterRow::member, worker.engine(path).counters());
  }
  result.push_back({.port = "", .worker = index, .counters = {}});
  add(iscsi::kCounterRows, &iscsi::CounterRow::member, worker.initiator().counters());
  return result;
}

}  // namespace pollux::library
