// The table of operations. Monitors get what the service answers out of its own memory; whatever
// sends something to a target, reads a disk or changes a setting is for managers.
#include "control/ring/opcodes.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "pollux/iscsiop.h"
#include "pollux/operations.h"

namespace pollux::ring {
namespace {

constexpr std::uint32_t kSecretBytesMin = offsetof(SetCHAPSharedSecret_IN, SharedSecret);
constexpr std::uint32_t kScsiOutBytesMin = offsetof(ScsiInquiry_OUT, ResponseBuffer);
// Up to the last meaningful byte: the declared structure ends with padding.
constexpr std::uint32_t kInquiryBytesMin = offsetof(ScsiInquiry_IN, PageCode) + 1;

// clang-format off
constexpr auto kOperations = std::to_array<Operation>({
    {MSiSCSI_SendTargets, "SendTargets", Access::manage, sizeof(SendTargets_IN), offsetof(SendTargets_OUT, Response)},
    {MSiSCSI_LoginToTarget, "LoginToTarget", Access::manage, offsetof(LoginToTarget_IN, Key), sizeof(LoginToTarget_OUT)},
    {MSiSCSI_LogoutFromTarget, "LogoutFromTarget", Access::manage, sizeof(LogoutFromTarget_IN), sizeof(LogoutFromTarget_OUT)},
    {MSiSCSI_AddConnectionToSession, "AddConnectionToSession", Access::manage, offsetof(AddConnectionToSession_IN, Key), sizeof(AddConnectionToSession_OUT)},
    {MSiSCSI_RemovePersistentLogin, "RemovePersistentLogin", Access::manage, sizeof(RemovePersistentLogin_IN), sizeof(RemovePersistentLogin_OUT)},
    {MSiSCSI_RemoveConnectionFromSession, "RemoveConnectionFromSession", Access::manage, sizeof(RemoveConnectionFromSession_IN), sizeof(RemoveConnectionFromSession_OUT)},
    {MSiSCSI_ScsiInquiry, "ScsiInquiry", Access::manage, kInquiryBytesMin, kScsiOutBytesMin},
    {MSiSCSI_ScsiReadCapacity, "ScsiReadCapacity", Access::manage, sizeof(ScsiReadCapacity_IN), kScsiOutBytesMin},
    {MSiSCSI_ScsiReportLuns, "ScsiReportLuns", Access::manage, sizeof(ScsiReportLuns_IN), kScsiOutBytesMin},
    {MSiSCSI_SetCHAPSharedSecret, "SetCHAPSharedSecret", Access::manage, kSecretBytesMin, sizeof(SetCHAPSharedSecret_OUT)},
    {MSiSCSI_SetRADIUSSharedSecret, "SetRADIUSSharedSecret", Access::manage, kSecretBytesMin, sizeof(SetRADIUSSharedSecret_OUT)},
    {MSiSCSI_DeleteInitiatorNodeName, "DeleteInitiatorNodeName", Access::manage, sizeof(DeleteInitiatorNodeName_IN), sizeof(DeleteInitiatorNodeName_OUT)},
    {MSiSCSI_SetInitiatorNodeName, "SetInitiatorNodeName", Access::manage, sizeof(SetInitiatorNodeName_IN), sizeof(SetInitiatorNodeName_OUT)},
    {MSiSCSI_AddiSNSServer, "AddiSNSServer", Access::manage, sizeof(AddiSNSServer_IN), sizeof(AddiSNSServer_OUT)},
    {MSiSCSI_RemoveiSNSServer, "RemoveiSNSServer", Access::manage, sizeof(RemoveiSNSServer_IN), sizeof(RemoveiSNSServer_OUT)},
    {MSiSCSI_AddRADIUSServer, "AddRADIUSServer", Access::manage, sizeof(AddRADIUSServer_IN), sizeof(AddRADIUSServer_OUT)},
    {MSiSCSI_RemoveRADIUSServer, "RemoveRADIUSServer", Access::manage, sizeof(RemoveRADIUSServer_IN), sizeof(RemoveRADIUSServer_OUT)},
    {POLLUX_OP_STATUS, "STATUS", Access::monitor, 0, offsetof(pollux_status_out, Json)},
    {POLLUX_OP_SESSION_LIST, "SESSION_LIST", Access::monitor, 0, offsetof(pollux_session_list_out, Info) + offsetof(MSiSCSI_InitiatorSessionInfo, SessionsList)},
    {POLLUX_OP_STATS, "STATS", Access::monitor, 0, offsetof(pollux_stats_out, Json)},
    {POLLUX_OP_READ, "READ", Access::manage, sizeof(pollux_io_in), sizeof(pollux_io_out)},
    {POLLUX_OP_WRITE, "WRITE", Access::manage, sizeof(pollux_io_in), sizeof(pollux_io_out)},
    {POLLUX_OP_VERIFY, "VERIFY", Access::manage, sizeof(pollux_io_in), sizeof(pollux_verify_out)},
    {POLLUX_OP_BENCH, "BENCH", Access::manage, sizeof(pollux_bench_in), sizeof(pollux_bench_out)},
    {POLLUX_OP_BENCH_PROGRESS, "BENCH_PROGRESS", Access::monitor, sizeof(pollux_bench_progress_in), sizeof(pollux_bench_out)},
});
// clang-format on

constexpr bool before(const Operation& left, const Operation& right) {
  return left.opcode < right.opcode;
}
static_assert(std::is_sorted(kOperations.begin(), kOperations.end(), before));

}  // namespace

std::span<const Operation> standard_operations() noexcept { return kOperations; }

const Operation* find_operation(std::span<const Operation> operations,
                                std::uint32_t opcode) noexcept {
  const auto found = std::lower_bound(
      operations.begin(), operations.end(), opcode,
      [](const Operation& left, std::uint32_t right) { return left.opcode < right; });
  return found == operations.end() || found->opcode != opcode ? nullptr : &*found;
}

}  // namespace pollux::ring
