// The serving half of the ring: turns, commands, completions, sleeping. Admission is in
// admission.cpp.
#include "control/ring/server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

namespace pollux::ring {
namespace {

// Bounds of one turn, so that a client with full queues delays the others by microseconds.
constexpr std::uint32_t kCommandsPerTurn = 16;
constexpr std::size_t kInputBytesPerTurn = std::size_t{1} << 20;

// A busy ring looks at its sockets this often; a turn that finds no command looks at once.
constexpr std::uint32_t kPollsBetweenEvents = 32;

}  // namespace

Server::Server(const ServerOptions& options) : options_(options), clients_(options.client_limit) {}

bool Server::poll(Handler& handler) {
  bool did_work = false;
  const auto count = static_cast<std::uint32_t>(clients_.size());
  // Start one further each turn: nobody is always first.
  next_index_ = count == 0 ? 0 : (next_index_ + 1) % count;
  for (std::uint32_t step = 0; step < count; ++step) {
    did_work |= poll_client((next_index_ + step) % count, handler);
  }
  if (!did_work || events_due_ || ++polls_since_events_ >= kPollsBetweenEvents) {
    events_due_ = false;
    polls_since_events_ = 0;
    did_work |= poll_events(handler);
  }
  return did_work;
}

bool Server::poll_client(std::uint32_t index, Handler& handler) {
  Client& client = clients_[index];
  std::size_t input_bytes = 0;
  for (std::uint32_t taken_count = 0; taken_count < kCommandsPerTurn; ++taken_count) {
    if (client.state != State::open) return taken_count > 0;
    TakenCommand taken;
    switch (client.channel->take(taken)) {
      case Take::empty:
      case Take::paused:
        return taken_count > 0;
      case Take::broken:
        ++counters_.channels_broken;
        close_client(index, handler);
        return true;
      case Take::command:
        input_bytes += taken.input.size();
        dispatch(index, taken, handler);
        if (input_bytes >= kInputBytesPerTurn) return true;
        break;
    }
  }
  return true;
}

void Server::dispatch(std::uint32_t index, const TakenCommand& taken, Handler& handler) {
  const Client& client = clients_[index];
  const RequestId id{{index, client.generation}, taken.ticket};
  ++counters_.commands_taken;
  const auto refuse_with = [&](std::uint32_t status, std::uint64_t needed = 0) {
    ++counters_.commands_refused;
    complete(id, status, {}, needed);
  };
  if (taken.verdict != POLLUX_RING_OK) return refuse_with(taken.verdict);
  if (taken.entry.opcode == POLLUX_RING_OP_NOP) {
    complete(id, POLLUX_RING_OK);
    return;
  }
  if (taken.entry.opcode == POLLUX_RING_OP_CANCEL &&
      (client.channel->features() & POLLUX_RING_FEATURE_CANCEL) != 0) {
    return cancel(index, taken, handler);
  }
  const Operation* operation = find_operation(options_.operations, taken.entry.opcode);
  if (operation == nullptr) return refuse_with(POLLUX_RING_UNKNOWN_OPCODE);
  if (client.access < operation->access) return refuse_with(POLLUX_RING_NOT_PERMITTED);
  if (taken.input.size() < operation->input_bytes_min) return refuse_with(POLLUX_RING_BAD_INPUT);
  // The room for the answer is looked at before anything with an effect happens.
  if (taken.entry.output_bytes < operation->output_bytes_min) {
    return refuse_with(POLLUX_RING_OUTPUT_TOO_SMALL, operation->output_bytes_min);
  }
  const bool has_deadline = (client.channel->features() & POLLUX_RING_FEATURE_DEADLINE) != 0;
  handler.on_command({.id = id,
                      .tag = taken.entry.tag,
                      .opcode = taken.entry.opcode,
                      .deadline_ms = has_deadline ? taken.entry.deadline_ms : 0,
                      .access = client.access,
                      .input = taken.input,
                      .output_capacity = taken.entry.output_bytes});
}

void Server::cancel(std::uint32_t index, const TakenCommand& taken, Handler& handler) {
  const ClientId client_id{index, clients_[index].generation};
  bool is_found = false;
  clients_[index].channel->for_each_in_flight([&](Ticket ticket, std::uint64_t tag) {
    if (tag != taken.entry.argument || ticket.slot == taken.ticket.slot) return;
    is_found = true;
    handler.on_cancel({client_id, ticket});
  });
  complete({client_id, taken.ticket}, is_found ? POLLUX_RING_OK : POLLUX_RING_TAG_NOT_FOUND);
}

bool Server::complete(RequestId request, std::uint32_t status, std::span<const std::byte> output,
                      std::uint64_t needed) noexcept {
  Client* client = find(request.client);
  if (client == nullptr) {
    ++counters_.completions_dropped;
    return false;
  }
  if (client->state == State::gone) {
    ++counters_.completions_dropped;
    const bool was_in_flight = client->channel->discard(request.ticket);
    vacate_if_ended(*client);
    return was_in_flight;
  }
  if (!client->channel->complete(request.ticket, status, output, needed)) {
    ++counters_.completions_dropped;
    return false;
  }
  ++counters_.completions;
  ring_if_asked(*client);
  return true;
}

void Server::ring_if_asked(Client& client) noexcept {
  if (!client.channel->take_ring_request()) return;
  ++counters_.doorbells_rung;
  // A full socket means that messages the client has not read wait already: it is awake or will be.
  const char message = 1;
  static_cast<void>(
      ::send(client.socket.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

Server::Client* Server::find(ClientId id) noexcept {
  if (id.index >= clients_.size()) return nullptr;
  Client& client = clients_[id.index];
  const bool has_channel = client.state == State::open || client.state == State::gone;
  return has_channel && client.generation == id.generation ? &client : nullptr;
}

void Server::close_client(std::uint32_t index, Handler& handler) {
  Client& client = clients_[index];
  client.socket.reset();
  // The client shares the doorbell's file, so closing our descriptor would not end the watch on it.
  if (client.doorbell.is_open()) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, client.doorbell.get(), nullptr);
  }
  client.doorbell.reset();
  if (client.state != State::open) {
    client.state = State::vacant;
    return;
  }
  ++counters_.clients_gone;
  client.state = State::gone;
  // Commands the ring answers itself never outlive a turn; those in flight are all the handler's.
  handler.on_client_gone({index, client.generation});
  vacate_if_ended(client);
}

void Server::vacate_if_ended(Client& client) noexcept {
  if (client.state != State::gone || client.channel->in_flight() > 0) return;
  client.channel.reset();
  client.region.reset();
  client.state = State::vacant;
}

bool Server::prepare_sleep() noexcept {
  bool has_work = events_due_;
  for (Client& client : clients_) {
    if (client.state == State::open) client.channel->set_needs_wakeup(true);
  }
  for (Client& client : clients_) {
    if (client.state == State::open) has_work |= client.channel->has_work();
  }
  if (has_work) finish_sleep();
  return !has_work;
}

void Server::finish_sleep() noexcept {
  events_due_ = true;
  for (Client& client : clients_) {
    if (client.state == State::open) client.channel->set_needs_wakeup(false);
  }
}

std::uint32_t Server::client_count() const noexcept {
  std::uint32_t count = 0;
  for (const Client& client : clients_) {
    if (client.state == State::open || client.state == State::gone) ++count;
  }
  return count;
}

std::optional<Peer> Server::peer(ClientId id) const {
  if (id.index >= clients_.size()) return std::nullopt;
  const Client& client = clients_[id.index];
  if (client.state != State::open || client.generation != id.generation) return std::nullopt;
  return client.peer;
}

}  // namespace pollux::ring
