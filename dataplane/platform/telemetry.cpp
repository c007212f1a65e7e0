#include "dataplane/platform/telemetry.hpp"

#include <rte_telemetry.h>

#include <cerrno>
#include <mutex>
#include <string_view>

namespace pollux::platform {
namespace {

std::once_flag registered;
// Set before the first command can be asked for, never changed.
std::span<const TelemetryCommand> known_commands;  // NOLINT

/// DPDK gives a command its name and no context.
int answer_command(const char* command, const char* parameters, rte_tel_data* data) {
  for (const TelemetryCommand& known : known_commands) {
    if (std::string_view(command) != known.name) continue;
    TelemetryAnswer answer(data);
    return known.answer(parameters, answer) ? 0 : -EINVAL;
  }
  return -ENOENT;
}

}  // namespace

void TelemetryAnswer::list(std::span<const std::uint64_t> numbers) noexcept {
  auto* data = static_cast<rte_tel_data*>(data_);
  rte_tel_data_start_array(data, RTE_TEL_U64_VAL);
  for (const std::uint64_t number : numbers) rte_tel_data_add_array_u64(data, number);
}

void TelemetryAnswer::begin_names() noexcept {
  if (!has_begun_) rte_tel_data_start_dict(static_cast<rte_tel_data*>(data_));
  has_begun_ = true;
}

void TelemetryAnswer::add(const char* name, std::uint64_t number) noexcept {
  begin_names();
  rte_tel_data_add_dict_u64(static_cast<rte_tel_data*>(data_), name, number);
}

void TelemetryAnswer::add(const char* name, std::span<const std::uint64_t> numbers) noexcept {
  begin_names();
  rte_tel_data* list = rte_tel_data_alloc();
  if (list == nullptr) return;
  TelemetryAnswer(list).list(numbers);
  // From here on DPDK's to free, unless it did not take it.
  constexpr int kDpdkFrees = 0;
  if (rte_tel_data_add_dict_container(static_cast<rte_tel_data*>(data_), name, list, kDpdkFrees) !=
      0)
    rte_tel_data_free(list);
}

void register_telemetry(std::span<const TelemetryCommand> commands) {
  std::call_once(registered, [commands] {
    known_commands = commands;
    for (const TelemetryCommand& command : commands)
      rte_telemetry_register_cmd(command.name, &answer_command, command.help);
  });
}

}  // namespace pollux::platform
