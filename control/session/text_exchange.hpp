// One Text Request sequence in full feature phase (RFC 7143 11.10, 11.11), as SendTargets uses it:
// a single key, F=1, and as many empty continuations as the target's answer needs. The worker
// stamps ITT (the same one for the whole sequence, TXT-02), CmdSN and ExpStatSN: they are zero
// here. A continuation is recognised by its Target Transfer Tag, which is not the reserved one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/session/session_types.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::session {

/// DSC-18. One answer, all parts joined.
inline constexpr std::size_t kTextAnswerBytesMax = std::size_t{1} << 20;
/// The same answer in segments of 512 bytes, the smallest a target may be limited to, and as much
/// again.
inline constexpr int kTextContinuationsMax = 4096;

enum class TextFailureKind : std::uint8_t {
  protocol_error,
  too_much_text,
  too_many_continuations,
  rejected,
  timed_out,
};

struct TextFailure {
  TextFailureKind kind;
  std::string sentence;
  std::uint32_t isdsc;
  bool is_connection_broken;  ///< the connection must be dropped; otherwise the session lives on
  bool is_retryable;
};

struct TextSend {
  OutgoingPdu pdu;
};
struct TextSucceeded {
  std::vector<std::byte> text;  ///< pairs with their NULs, exactly as received
};
struct TextFailed {
  TextFailure failure;
};
using TextStep = std::variant<TextSend, TextSucceeded, TextFailed>;

class TextExchange {
 public:
  /// `value` as send_targets_key() returned it.
  explicit TextExchange(std::string_view send_targets_value);

  [[nodiscard]] OutgoingPdu start() const;
  /// Any PDU that carries this exchange's ITT.
  [[nodiscard]] TextStep on_pdu(const wire::Bhs& bhs, std::span<const std::byte> data);
  /// The target rejected one of our requests: values and session stay as they were (TXT-10).
  [[nodiscard]] TextFailed on_reject(std::uint8_t reason);
  [[nodiscard]] TextFailed on_deadline();

 private:
  [[nodiscard]] TextFailed fail(TextFailure failure);
  [[nodiscard]] TextFailed fail_protocol(std::string_view what);

  std::string value_;
  std::vector<std::byte> text_received_;
  int continuations_ = 0;
  bool is_over_ = false;
};

/// What SendTargets may say on a session, checked before anything is sent.
struct SendTargetsKey {
  std::optional<std::string> value;  ///< "All", a folded name, or empty; absent when refused
  std::string sentence;              ///< why it was refused
  std::uint32_t isdsc = 0;
};
/// `text` is the value or the whole pair ("SendTargets=All"). `session_target_name` is the target
/// of a normal session, which may be named there and is sent as the empty value; empty for
/// discovery.
[[nodiscard]] SendTargetsKey send_targets_key(std::string_view text, SessionType session_type,
                                              std::string_view session_target_name);

}  // namespace pollux::session
