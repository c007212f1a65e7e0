// Names and the first text of violations. See checks.hpp.
#include "tests/target/checks.hpp"

#include <cinttypes>
#include <cstdio>

namespace pollux::target {

std::string_view name(Violation kind) noexcept {
  static constexpr std::array<std::string_view, kViolationKinds> kNames{"header_digest",
                                                                        "data_digest",
                                                                        "padding",
                                                                        "reserved_field",
                                                                        "opcode",
                                                                        "phase",
                                                                        "ahs",
                                                                        "data_segment_length",
                                                                        "cmd_sn",
                                                                        "command_window",
                                                                        "exp_stat_sn",
                                                                        "itt",
                                                                        "final_bit",
                                                                        "immediate_bit",
                                                                        "immediate_data",
                                                                        "unsolicited_data",
                                                                        "first_burst",
                                                                        "burst",
                                                                        "data_sn",
                                                                        "buffer_offset",
                                                                        "target_transfer_tag",
                                                                        "lun",
                                                                        "task_attribute",
                                                                        "login_stage",
                                                                        "login_field",
                                                                        "login_key",
                                                                        "text",
                                                                        "nop",
                                                                        "task_management",
                                                                        "logout"};
  static_assert(!kNames.back().empty());
  return kind < Violation::count ? kNames[static_cast<std::size_t>(kind)] : std::string_view{};
}

void Checks::note(Violation kind, const char* what, std::uint64_t seen,
                  std::uint64_t expected) noexcept {
  ++counts_[static_cast<std::size_t>(kind)];
  if (total_++ != 0) return;
  const std::string_view kind_name = name(kind);
  std::snprintf(first_.data(), first_.size(), "%.*s: %s (%" PRIu64 ", expected %" PRIu64 ")",
                static_cast<int>(kind_name.size()), kind_name.data(), what, seen, expected);
}

}  // namespace pollux::target
