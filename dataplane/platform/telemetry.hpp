// DPDK's telemetry socket: commands of ours beside those of DPDK's libraries. A command stays
// registered for as long as the process lives, and is asked by a thread of DPDK's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pollux::platform {

/// What a command answers with: a list of numbers, or numbers and lists of numbers by name. What
/// does not fit (256 names, 512 numbers in a list) is left out.
class TelemetryAnswer {
 public:
  /// `data` is DPDK's rte_tel_data.
  explicit TelemetryAnswer(void* data) noexcept : data_(data) {}

  void list(std::span<const std::uint64_t> numbers) noexcept;
  /// Names are of letters, digits, '_' and '/', at most 127.
  void add(const char* name, std::uint64_t number) noexcept;
  void add(const char* name, std::span<const std::uint64_t> numbers) noexcept;

 private:
  void begin_names() noexcept;

  void* data_;
  bool has_begun_ = false;
};

/// `parameters` is what stood behind the comma, or null. False: the client is told null. Called by
/// DPDK's telemetry thread, which knows nothing of who is open: what it reads must outlive the
/// call.
using TelemetryFunction = bool (*)(const char* parameters, TelemetryAnswer& answer);

struct TelemetryCommand {
  const char* name;  ///< "/pollux/..."; all three live as long as the process
  const char* help;
  TelemetryFunction answer;
};

/// Makes the commands known to the socket, whether there is one or not. The first call counts;
/// later ones change nothing.
void register_telemetry(std::span<const TelemetryCommand> commands);

}  // namespace pollux::platform
