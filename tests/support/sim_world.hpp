// A worker and the embedded target at the two ends of a simulated wire, with virtual time: the
// whole data path of production, driven turn by turn. Control is played by the test through a small
// login driver.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/session/login.hpp"
#include "dataplane/worker/worker.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"
#include "tests/support/sim_wire.hpp"
#include "tests/target/target.hpp"

namespace pollux::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  target::TargetConfig target;
  SimPortOptions initiator_port;
  SimPortOptions target_port;
  iscsi::Limits limits{
      .connections = 8, .tasks = 256, .slabs = 16, .snapshot_small = 64, .snapshot_large = 16};
  iscsi::Timeouts timeouts;
  std::size_t lent_budget_bytes = 8 * MiB;
  net::InterfaceConfig addressing{///< the initiator's
                                  .address = net::IpAddress::v4(10, 99, 0, 2),
                                  .prefix_length = 24,
                                  .gateway = {}};
};

class SimWorld {
 public:
  explicit SimWorld(const WorldOptions& options = {});
  ~SimWorld();

  /// Plays turns until `done` or until virtual time has moved by `limit`. True when done.
  bool run_until(const std::function<bool()>& done, Duration limit = 60s);
  void run_for(Duration duration);

  /// Connects slot 0.. and logs in; the session is usable when this returns true.
  bool log_in(std::uint16_t slot, const session::Offer& offer = {},
              session::SessionType type = session::SessionType::normal);
  /// Sends Logout (reason 0), waits for the response and the end of the connection.
  bool log_out(std::uint16_t slot);

  [[nodiscard]] std::uint64_t session_id(std::uint16_t slot) const {
    return (std::uint64_t{7} << 40) | (1 + slot) << 16 | slot;
  }
  [[nodiscard]] const iscsi::Parameters& parameters(std::uint16_t slot) const {
    return logins_[slot].gate.parameters;
  }
  [[nodiscard]] Instant now() const { return wire.now(); }

  // Messages, for tests that play control themselves.
  void send(const iscsi::ToWorker& message);
  /// Takes the oldest message that the login driver did not use.
  std::optional<iscsi::ToControl> take_message();
  [[nodiscard]] iscsi::ConnectionRef connection(std::uint16_t slot) const {
    return logins_[slot].connection;
  }
  void send_pdu(std::uint16_t slot, const session::OutgoingPdu& pdu, bool closes_reader = false);

  SimWire wire;
  HeapPacketMemory initiator_memory;
  HeapPacketMemory target_memory;
  SimPort initiator_port;
  SimPort target_port;
  worker::Link link;
  std::vector<std::byte> snapshot_area;
  std::unique_ptr<worker::Worker> worker;
  std::unique_ptr<target::Target> target;

 private:
  struct LoginState {
    iscsi::ConnectionRef connection;
    std::unique_ptr<session::Login> login;
    iscsi::Gate gate;
    bool logged_in = false;
    bool ended = false;
    bool logged_out = false;
  };

  bool turn();
  void handle(const iscsi::ToControl& message);
  void on_pdu(LoginState& state, iscsi::Slab& slab);

  std::vector<LoginState> logins_;
  std::vector<std::unique_ptr<iscsi::ControlPdu>> pdus_;
  std::vector<iscsi::ToControl> messages_;
};

}  // namespace pollux::sim
