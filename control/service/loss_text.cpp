#include "control/service/loss_text.hpp"

#include <fmt/format.h>
#include <pollux/iscsierr.h>

namespace pollux::service {

std::string loss_sentence(iscsi::LossReason reason, iscsi::ProtocolError error) {
  using enum iscsi::LossReason;
  switch (reason) {
    case none:
      return "the connection ended";
    case requested:
      return "the connection was closed";
    case tcp_closed_by_peer:
      return "the target closed the connection";
    case tcp_reset:
      return "the target reset the connection";
    case tcp_timeout:
      return "the target stopped answering";
    case connect_refused:
      return "the connection was refused: nothing listens there";
    case connect_timeout:
      return "no answer to the connection attempt";
    case host_unreachable:
      return "the host is unreachable: no route, or nobody answers ARP";
    case no_local_resources:
      return "no local connection, port or route is free";
    case header_digest_error:
      return "a header digest was wrong";
    case data_digest_error:
      return "a data digest was wrong";
    case protocol_error:
      return fmt::format("the target broke the protocol: {}", iscsi::to_text(error));
    case command_timeout:
      return "a command was not answered in time";
    case rejected:
      return "the target rejected a command and waits for its number";
    case ping_timeout:
      return "the target did not answer a ping";
    case port_removed:
      return "the port it went through was removed";
    case address_conflict:
      return "another station on the link has the port's address, so it is not used (see status)";
  }
  return "the connection ended";
}

std::uint32_t loss_status(iscsi::LossReason reason) noexcept {
  using enum iscsi::LossReason;
  switch (reason) {
    case connect_refused:
    case host_unreachable:
    case connect_timeout:
    case address_conflict:
      return ISDSC_CONNECTION_FAILED;
    case no_local_resources:
      return ISDSC_NO_CONNECTION_AVAILABLE;
    default:
      return ISDSC_TRANSPORT_ERROR;
  }
}

}  // namespace pollux::service
