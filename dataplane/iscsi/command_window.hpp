// CmdSN, ExpCmdSN and MaxCmdSN of one session (RFC 7143 section 4.2.2.1).
#pragma once

#include <cstdint>

#include "dataplane/base/serial_number.hpp"

namespace pollux::iscsi {

class CommandWindow {
 public:
  void start(CmdSn cmd_sn, CmdSn exp_cmd_sn, CmdSn max_cmd_sn) noexcept {
    cmd_sn_ = cmd_sn;
    exp_cmd_sn_ = exp_cmd_sn;
    max_cmd_sn_ = max_cmd_sn;
  }

  [[nodiscard]] CmdSn cmd_sn() const noexcept { return cmd_sn_; }
  [[nodiscard]] bool open() const noexcept { return cmd_sn_.precedes_or_is(max_cmd_sn_); }

  /// CmdSN for a non-immediate request; the next one gets the next number.
  CmdSn take() noexcept {
    const CmdSn taken = cmd_sn_;
    cmd_sn_ += 1;
    return taken;
  }

  /// Takes the pair of any PDU that carries it. Returns false when it was not believed.
  bool update(CmdSn exp_cmd_sn, CmdSn max_cmd_sn) noexcept {
    // RFC 7143 4.2.2.1: MaxCmdSN below ExpCmdSN-1 makes both unusable.
    if (max_cmd_sn.precedes(exp_cmd_sn - 1)) return false;
    // A target cannot expect a command beyond the ones we numbered.
    if (cmd_sn_.precedes(exp_cmd_sn)) return false;
    // Older values arrive when PDUs were reordered between connections: they never shrink the
    // window.
    if (exp_cmd_sn_.precedes(exp_cmd_sn)) exp_cmd_sn_ = exp_cmd_sn;
    if (max_cmd_sn_.precedes(max_cmd_sn)) max_cmd_sn_ = max_cmd_sn;
    return true;
  }

 private:
  CmdSn cmd_sn_;
  CmdSn exp_cmd_sn_;
  CmdSn max_cmd_sn_;
};

}  // namespace pollux::iscsi
