// The sessions of the service, read out of the session list's variable-length answer, and as rows
// and JSON for people and scripts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/connection.hpp"
#include "control/cli/render.hpp"
#include "control/url/iscsi_url.hpp"
#include "pollux/iscsiop.h"

namespace pollux::cli {

struct ConnectionRow {
  std::uint64_t id = 0;
  std::uint16_t cid = 0;
  std::uint8_t state = 0;
  bool header_digest = false;
  bool data_digest = false;
  url::Portal local;
  url::Portal remote;
  std::uint32_t max_recv_data_segment_length = 0;
};

struct SessionRow {
  std::uint64_t id = 0;
  std::string initiator;
  std::string target;
  std::uint16_t tsih = 0;
  std::string isid;  ///< twelve hexadecimal digits
  std::uint8_t type = ISCSI_SESSION_DATA;
  std::optional<std::uint32_t> worker;  ///< that carries it, when the service says so
  std::uint8_t error_recovery_level = 0;
  bool initial_r2t = false;
  bool immediate_data = false;
  std::uint32_t max_outstanding_r2t = 0;
  std::uint32_t first_burst_length = 0;
  std::uint32_t max_burst_length = 0;
  std::uint32_t max_connections = 0;
  std::vector<ConnectionRow> connections;

  /// The portal of its first connection, "-" without one.
  [[nodiscard]] std::string portal_text() const;
  /// "logged in", "not connected", ...
  [[nodiscard]] std::string state_text() const;
};

/// Asks the service. Failure when it cannot say.
[[nodiscard]] std::vector<SessionRow> list_sessions(Connection& connection,
                                                    std::uint32_t deadline_ms);

/// Fills in which worker carries each session; an older service may not say.
void find_workers(Connection& connection, std::uint32_t deadline_ms,
                  std::vector<SessionRow>& sessions);

/// The list out of pollux_session_list_out. Failure internal when it contradicts its own counts.
[[nodiscard]] std::vector<SessionRow> decode_session_list(const Answer& answer);

[[nodiscard]] std::string session_type_text(std::uint8_t type);
[[nodiscard]] std::string sessions_table(const std::vector<SessionRow>& sessions);
[[nodiscard]] Json sessions_json(const std::vector<SessionRow>& sessions);

/// The address as host text; the port comes from elsewhere.
[[nodiscard]] std::string address_text(const ISCSI_IP_Address& address);

}  // namespace pollux::cli
