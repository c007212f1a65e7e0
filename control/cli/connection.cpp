// See connection.hpp.
#include "control/cli/connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "control/cli/interrupt.hpp"
#include "pollux/ring.h"

namespace pollux::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint32_t kConnectMs = 3000;
constexpr std::uint32_t kSliceMs = 100;  // how often a wait looks for Ctrl-C
constexpr std::chrono::milliseconds kDrainBound{3000};
// The service ends a command at its deadline; after this much more the answer is not coming.
constexpr std::chrono::milliseconds kDeadlineGrace{2000};
constexpr int kOutputTriesMax = 4;
constexpr std::size_t kOutputBytesMax = std::size_t{64} << 20;
constexpr std::size_t kTransfersPerArena = 8;
constexpr std::size_t kTransferHeaderRoom = 4096;

std::string place_of(const ServiceAddress& address) {
  if (!address.socket.empty()) return fmt::format("socket {}", address.socket);
  return fmt::format("instance '{}'",
                     address.instance.empty() ? "default" : address.instance.c_str());
}

ExitCode exit_code_of_error(int error) noexcept {
  switch (error) {
    case POLLUX_ENOMEM:
      return ExitCode::out_of_memory;
    case POLLUX_ESERVICE:
      return ExitCode::not_running;
    case POLLUX_EACCES:
      return ExitCode::access;
    case POLLUX_EVERSION:
    case POLLUX_ENOTSUP:
      return ExitCode::not_supported;
    case POLLUX_ETIMEDOUT:
      return ExitCode::pdu_timeout;
    case POLLUX_EAGAIN:
    case POLLUX_EBUSY:
      return ExitCode::busy;
    case POLLUX_ECANCELED:
      return ExitCode::interrupted;
    case POLLUX_EINVAL:
    case POLLUX_ETOOLARGE:
      return ExitCode::invalid_argument;
    default:
      return ExitCode::generic;
  }
}

Failure failure_of_error(const std::string& what, int error) {
  if (error == POLLUX_ESERVICE)
    return {ExitCode::not_running,
            fmt::format("{} failed: the pollux service ended while it was at work. Start it again "
                        "with 'polluxd' and look into its log for the reason.",
                        what)};
  if (error == POLLUX_EACCES)
    return {ExitCode::access,
            fmt::format("{} failed: this user may look but not change anything. Become a member of "
                        "the service's manage group, or run this as root.",
                        what)};
  if (error == POLLUX_ENOTSUP)
    return {ExitCode::not_supported,
            fmt::format("{} failed: the running service does not know this operation. It may be "
                        "older than this program.",
                        what)};
  return {exit_code_of_error(error), fmt::format("{} failed: {}.", what, pollux_strerror(error))};
}

Failure interrupted(const std::string& what) {
  return {ExitCode::interrupted, fmt::format("{} was interrupted.", what)};
}

}  // namespace

std::span<const std::byte> Answer::bytes_at(std::size_t offset, std::size_t wanted) const noexcept {
  const auto all = bytes();
  if (offset >= all.size()) return {};
  return all.subspan(offset, std::min(wanted, all.size() - offset));
}

void check_ring_status(const std::string& what, std::uint32_t ring_status) {
  const int error = pollux_client_status_error(ring_status);
  if (error != 0) throw failure_of_error(what, error);
}

Connection::Connection(const ServiceAddress& address) : place_(place_of(address)) {
  pollux_client_options options;
  pollux_client_options_init(&options);
  if (!address.instance.empty()) options.instance = address.instance.c_str();
  if (!address.socket.empty()) options.socket_path = address.socket.c_str();
  options.connect_ms = kConnectMs;

  pollux_client* client = nullptr;
  std::array<char, 512> reason{};
  const int error = pollux_client_open(&options, &client, reason.data(), reason.size());
  if (error == POLLUX_ESERVICE)
    throw Failure(
        ExitCode::not_running,
        fmt::format("No pollux service is running at {}: {}. Start one with 'polluxd', or "
                    "name another with --instance or --socket.",
                    place_, reason.data()));
  if (error != 0) {
    const char* why = reason[0] != '\0' ? reason.data() : pollux_strerror(error);
    throw Failure(exit_code_of_error(error),
                  fmt::format("Connecting to the pollux service at {} failed: {}.", place_, why));
  }
  client_.reset(client);

  pollux_client_info info{};
  info.size = sizeof(info);
  if (pollux_client_info_get(client, &info) == 0) {
    const std::size_t share =
        std::max<std::size_t>(info.arena_bytes / kTransfersPerArena, 2 * kTransferHeaderRoom);
    const std::size_t input = info.input_bytes_max > 0 ? info.input_bytes_max : share;
    transfer_bytes_max_ = std::min(share, input) - kTransferHeaderRoom;
  }
}

bool Connection::submit(const std::string& what, std::uint32_t opcode,
                        std::span<const std::byte> input, std::span<std::byte> output,
                        std::uint64_t user_data, std::uint32_t deadline_ms) {
  if (!client_) throw failure_of_error(what, POLLUX_ESERVICE);
  pollux_client_command command{};
  command.size = sizeof(command);
  command.opcode = opcode;
  command.deadline_ms = deadline_ms;
  command.input = input.data();
  command.input_bytes = static_cast<std::uint32_t>(input.size());
  command.output = output.data();
  command.output_bytes = static_cast<std::uint32_t>(output.size());
  command.user_data = user_data;
  std::uint64_t tag = 0;
  const int error = pollux_client_submit(client_.get(), &command, &tag);
  if (error == POLLUX_EAGAIN && !tags_.empty()) return false;
  if (error != 0) throw failure_of_error(what, error);
  tags_.push_back(tag);
  return true;
}

std::optional<Completion> Connection::next(const std::string& what, std::uint32_t timeout_ms) {
  pollux_client_completion reaped{};
  int count = pollux_client_reap(client_.get(), &reaped, 1);
  if (count == 0) {
    const int waited = pollux_client_wait(client_.get(), timeout_ms);
    if (waited < 0) throw failure_of_error(what, waited);
    if (waited == 0) return std::nullopt;
    count = pollux_client_reap(client_.get(), &reaped, 1);
  }
  if (count < 0) throw failure_of_error(what, count);
  if (count == 0) return std::nullopt;
  std::erase(tags_, reaped.tag);
  // What an output that was too small should have had travels in the same field.
  const std::uint64_t bytes = reaped.ring_status == POLLUX_RING_OUTPUT_TOO_SMALL
                                  ? reaped.output_needed
                                  : reaped.output_bytes;
  return Completion{reaped.user_data, reaped.ring_status,
                    static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, UINT32_MAX))};
}

void Connection::drain() noexcept {
  for (const std::uint64_t tag : tags_) pollux_client_cancel(client_.get(), tag);
  const auto end = SteadyClock::now() + kDrainBound;
  try {
    while (!tags_.empty() && SteadyClock::now() < end) (void)next("Cancelling", kSliceMs);
  } catch (const Failure&) {
    // The service is gone, and its commands with it.
  }
  // Outputs of commands that did not end must never be written: their memory is about to go.
  if (!tags_.empty()) client_.reset();
  tags_.clear();
}

Answer Connection::call(const std::string& what, std::uint32_t opcode,
                        std::span<const std::byte> input, std::size_t output_bytes,
                        std::uint32_t deadline_ms) {
  for (int attempt = 0; attempt < kOutputTriesMax; ++attempt) {
    std::vector<std::uint64_t> words((output_bytes + 7) / 8);
    const auto output = std::as_writable_bytes(std::span(words));
    const auto end = SteadyClock::now() + std::chrono::milliseconds(deadline_ms) + kDeadlineGrace;
    if (!submit(what, opcode, input, output, 0, deadline_ms))
      throw failure_of_error(what, POLLUX_EAGAIN);
    std::optional<Completion> completion;
    while (!(completion = next(what, kSliceMs))) {
      const bool is_late = SteadyClock::now() >= end;
      if (!is_late && !is_interrupted()) continue;
      drain();
      throw is_late ? failure_of_error(what, POLLUX_ETIMEDOUT) : interrupted(what);
    }
    if (completion->ring_status != POLLUX_RING_OUTPUT_TOO_SMALL) {
      check_ring_status(what, completion->ring_status);
      return {std::move(words), completion->output_bytes};
    }
    output_bytes = completion->output_bytes;
    if (output_bytes > kOutputBytesMax) break;
  }
  throw Failure(
      ExitCode::internal,
      fmt::format("{} failed: the service did not settle on a size for its answer.", what));
}

}  // namespace pollux::cli
