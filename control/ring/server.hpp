// The service's side of the command ring: admits clients on a Unix socket, takes their commands out
// of shared memory and hands them to the service, and carries the answers back. The single control
// thread owns a Server; no member may be called from another. Nothing a client does can block or
// break it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/result.hpp"
#include "control/ring/access.hpp"
#include "control/ring/channel.hpp"
#include "control/ring/descriptor.hpp"
#include "control/ring/handshake.hpp"
#include "control/ring/opcodes.hpp"

namespace pollux::ring {

/// One client's stay. An index is used again, the pair never.
struct ClientId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const ClientId&, const ClientId&) = default;
};

/// One command. Never the same for two commands of a server's life.
struct RequestId {
  ClientId client;
  Ticket ticket;
};

/// A well-formed command whose client may ask it. `input` is the service's private copy and stays
/// valid until the request is completed.
struct Request {
  RequestId id;
  std::uint64_t tag = 0;
  std::uint32_t opcode = 0;
  std::uint32_t deadline_ms = 0;  ///< from now; 0: the operation's default
  Access access = Access::none;
  std::span<const std::byte> input;
  std::uint32_t output_capacity = 0;
};

/// The service. Called from inside Server::poll; may call Server::complete, never poll.
class Handler {
 public:
  virtual ~Handler() = default;
  /// Must lead to exactly one complete(request.id, ...), now or later, also when the client is
  /// gone.
  virtual void on_command(const Request& request) = 0;
  /// The client wants `request` to end early. It still has to be completed, with any outcome.
  virtual void on_cancel(RequestId request) = 0;
  /// No answer to this client can arrive any more. Its requests in flight still have to be
  /// completed; its memory stays until they are.
  virtual void on_client_gone(ClientId client) = 0;
};

struct ServerOptions {
  std::string socket_path;
  std::string manage_group;   ///< name or number; empty: root and the owner alone
  std::string monitor_group;  ///< name or number; empty: nobody
  std::uint32_t client_limit = 64;
  GeometryLimits geometry;
  std::uint32_t input_bytes_max = 8u << 20;
  std::chrono::milliseconds hello_timeout{2000};
  std::span<const Operation> operations = standard_operations();  ///< outlives the server
};

/// What happened since the start; only rising.
struct ServerCounters {
  std::uint64_t clients_admitted = 0;
  std::uint64_t clients_refused = 0;
  std::uint64_t clients_gone = 0;
  std::uint64_t channels_broken =
      0;  ///< closed because their memory or messages could not be right
  std::uint64_t commands_taken = 0;
  std::uint64_t commands_refused = 0;  ///< answered by the ring with something else than OK
  std::uint64_t completions = 0;
  std::uint64_t completions_dropped = 0;  ///< the client was gone, or the request unknown
  std::uint64_t doorbells_rung = 0;
};

class Server {
 public:
  /// Binds and listens. A socket left by a service that died is replaced; one that lives is an
  /// error.
  [[nodiscard]] static Result<std::unique_ptr<Server>> listen(const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Readable when poll() may have something to do, if prepare_sleep() said yes. Only poll it.
  [[nodiscard]] int wait_fd() const noexcept { return epoll_.get(); }

  /// A bounded turn: some connections, some commands of each client. Returns whether anything was
  /// done. A thread that spins on it should sched_yield() after an idle turn: a client on the same
  /// CPU otherwise waits for the spin to end (53 against 3 microseconds).
  bool poll(Handler& handler);

  /// Asks every client to ring from now on. False: there is work already, do not sleep (nothing is
  /// asked).
  [[nodiscard]] bool prepare_sleep() noexcept;
  /// After sleeping: clients need not ring any more.
  void finish_sleep() noexcept;

  /// Ends a request. `needed` matters with OUTPUT_TOO_SMALL; an output larger than the client's
  /// area becomes that by itself. A no-op returning false when the request ended already.
  bool complete(RequestId request, std::uint32_t status, std::span<const std::byte> output = {},
                std::uint64_t needed = 0) noexcept;

  /// Clients with a channel, those that are gone but still have commands in flight included.
  [[nodiscard]] std::uint32_t client_count() const noexcept;
  [[nodiscard]] const ServerCounters& counters() const noexcept { return counters_; }
  /// Who is behind a client. Nothing once it is gone.
  [[nodiscard]] std::optional<Peer> peer(ClientId client) const;

 private:
  enum class State : std::uint8_t { vacant, greeting, open, gone };
  struct Client {
    State state = State::vacant;
    std::uint32_t generation = 0;
    Access access = Access::none;
    Peer peer;
    std::chrono::steady_clock::time_point hello_deadline;
    Descriptor socket;
    Descriptor doorbell;
    Mapping region;
    std::unique_ptr<Channel> channel;
  };

  explicit Server(const ServerOptions& options);
  Result<void> open_socket();
  Result<void> open_epoll();

  bool poll_events(Handler& handler);
  void accept_clients();
  void admit(Descriptor socket);
  void read_hello(std::uint32_t index);
  void open_channel(std::uint32_t index, const pollux_ring_reply& granted);
  void expire_greetings();
  void arm_timer() noexcept;
  void refuse(Client& client, std::uint32_t result, const std::string& sentence);

  bool poll_client(std::uint32_t index, Handler& handler);
  void dispatch(std::uint32_t index, const TakenCommand& taken, Handler& handler);
  void cancel(std::uint32_t index, const TakenCommand& taken, Handler& handler);
  void close_client(std::uint32_t index, Handler& handler);
  void vacate_if_ended(Client& client) noexcept;
  void ring_if_asked(Client& client) noexcept;
  [[nodiscard]] Client* find(ClientId id) noexcept;

  ServerOptions options_;
  AccessPolicy policy_;
  ServerCounters counters_;
  Descriptor lock_;
  Descriptor listener_;
  Descriptor timer_;
  Descriptor epoll_;
  bool is_bound_ = false;
  bool is_listener_paused_ = false;
  bool events_due_ = true;
  std::uint32_t polls_since_events_ = 0;
  std::uint32_t next_index_ = 0;
  std::vector<Client> clients_;
};

}  // namespace pollux::ring
