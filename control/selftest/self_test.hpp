// `polluxd --self-test`: brings the configured ports up and tells an operator, in sentences, what
// works on them: what was negotiated, link, neighbour, MTU, checksums, portal, how transmitted
// buffers come back. Sends a few dozen small frames and keeps nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "control/library/instance.hpp"
#include "control/service/config.hpp"

namespace pollux::selftest {

enum class Verdict : std::uint8_t { passed, failed, skipped, noted };

struct Check {
  std::string name;
  Verdict verdict = Verdict::skipped;
  std::string sentence;
};

struct PortResult {
  service::PortReport report;
  std::string device;
  std::vector<Check> checks;
};

struct SelfTestOptions {
  net::IpAddress target;   ///< IPv4; all zero: the gateway of each port
  std::uint16_t port = 0;  ///< of a portal that should accept; 0: none is tried
};

/// Starts DPDK, opens each port in turn and tests it. False: nothing could be tested at all, and
/// `error` is one sentence. `ring_ports` serves devices called "ring:NAME".
[[nodiscard]] bool run_self_test(const service::Config& config,
                                 const library::RingPortSource& ring_ports,
                                 std::uint32_t ring_memory_mib, const SelfTestOptions& options,
                                 std::vector<PortResult>& results, std::string& error);

/// No check of any port has failed.
[[nodiscard]] bool passed(const std::vector<PortResult>& results);
[[nodiscard]] std::string to_words(const std::vector<PortResult>& results);
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<PortResult>& results);

/// "10.99.0.1" or "10.99.0.1:3260".
[[nodiscard]] bool parse_target(const std::string& text, SelfTestOptions& options,
                                std::string& error);

/// The whole program behind the flag: prints, and returns the exit code.
int self_test_main(const service::Config& config, const library::RingPortSource& ring_ports,
                   std::uint32_t ring_memory_mib, const std::string& target, bool json);

}  // namespace pollux::selftest
