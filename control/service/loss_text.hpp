// Why a connection ended, as a reason a person understands and as the operation status it becomes.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/iscsi/mailbox.hpp"

namespace pollux::service {

/// "the target refused the connection"; no capital, no full stop.
[[nodiscard]] std::string loss_sentence(iscsi::LossReason reason, iscsi::ProtocolError error);
/// ISDSC_CONNECTION_FAILED when no connection came about, ISDSC_TRANSPORT_ERROR for time-outs and for
/// connections that were lost.
[[nodiscard]] std::uint32_t loss_status(iscsi::LossReason reason) noexcept;

}  // namespace pollux::service
