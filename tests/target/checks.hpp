// What an initiator may do wrong, as named counters, with the first case in words. A test asserts
// that total() is zero. Counting allocates nothing; first_text() may be asked for from the target's
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pollux::target {

enum class Violation : std::uint8_t {
  header_digest,  ///< RFC 7143 13.1
  data_digest,
  padding,              ///< 11.1: pad bytes not zero
  reserved_field,       ///< 11.1: reserved bits or fields not zero
  opcode,               ///< unknown, or sent by targets only
  phase,                ///< not allowed before, during or after login
  ahs,                  ///< an additional header this initiator has no use for
  data_segment_length,  ///< above the declared MaxRecvDataSegmentLength, or data where none may be
  cmd_sn,               ///< 4.2.2.1: not the expected one
  command_window,       ///< beyond MaxCmdSN
  exp_stat_sn,          ///< never sent, or going back
  itt,                  ///< in use, reserved, or naming no task
  final_bit,
  immediate_bit,
  immediate_data,    ///< 13.11: not negotiated, or above a limit
  unsolicited_data,  ///< 13.10: not negotiated, wrong total
  first_burst,       ///< 13.14
  burst,             ///< 11.8: more or less than the R2T asked for
  data_sn,
  buffer_offset,
  target_transfer_tag,
  lun,
  task_attribute,  ///< 11.3.1: flags that fit no command
  login_stage,     ///< CSG, NSG, T and C
  login_field,     ///< version, ISID, CID, ITT, CmdSN changing
  login_key,       ///< missing, repeated, out of range, in the wrong stage
  text,            ///< malformed text or Text Request
  nop,
  task_management,
  logout,
  count,
};

inline constexpr std::size_t kViolationKinds = static_cast<std::size_t>(Violation::count);
[[nodiscard]] std::string_view name(Violation kind) noexcept;

class Checks {
 public:
  /// `what` is a literal; `seen` and `expected` are shown with it.
  void note(Violation kind, const char* what, std::uint64_t seen = 0,
            std::uint64_t expected = 0) noexcept;
  /// Notes when `holds` is false; returns `holds`.
  bool require(bool holds, Violation kind, const char* what, std::uint64_t seen = 0,
               std::uint64_t expected = 0) noexcept {
    if (!holds) [[unlikely]]
      note(kind, what, seen, expected);
    return holds;
  }

  [[nodiscard]] std::uint64_t count(Violation kind) const noexcept {
    return counts_[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  /// "cmd_sn: CmdSN of a command (7, expected 6)"; empty while nothing is wrong.
  [[nodiscard]] std::string_view first_text() const noexcept { return first_.data(); }
  void clear() noexcept { *this = Checks{}; }

 private:
  std::array<std::uint64_t, kViolationKinds> counts_{};
  std::uint64_t total_ = 0;
  std::array<char, 160> first_{};
};

}  // namespace pollux::target
