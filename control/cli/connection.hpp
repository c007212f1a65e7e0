// The CLI's end of the command ring: libpollux-client with RAII, sentences and exit codes.
// One thread. Every wait is bounded by the command's deadline and looks for Ctrl-C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/cli/failure.hpp"
#include "pollux/client.h"

namespace pollux::cli {

/// Where the service is, and how patient to be with it.
struct ServiceAddress {
  std::string instance;  ///< empty: "default"
  std::string socket;    ///< empty: found by instance
};

/// An operation's answer in memory that any of its structures may be read from.
class Answer {
 public:
  Answer() = default;
  Answer(std::vector<std::uint64_t> words, std::size_t bytes)
      : words_(std::move(words)), bytes_(bytes) {}

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return std::as_bytes(std::span(words_)).first(bytes_);
  }
  /// The bytes from `offset` on, at most `wanted`: never more than arrived.
  [[nodiscard]] std::span<const std::byte> bytes_at(std::size_t offset,
                                                    std::size_t wanted) const noexcept;

 private:
  std::vector<std::uint64_t> words_;
  std::size_t bytes_ = 0;
};

struct Completion {
  std::uint64_t user_data = 0;
  std::uint32_t ring_status = 0;
  std::uint32_t output_bytes = 0;
};

class Connection {
 public:
  /// Connects. Failure not_running, access or generic with a sentence that names the socket.
  explicit Connection(const ServiceAddress& address);

  /// One command and its answer; a larger output area is tried when the service asks for one.
  /// `what` completes "... failed". Failure when the command did not reach its operation; the
  /// operation's own Status is the caller's to check. Ctrl-C cancels it: Failure interrupted.
  [[nodiscard]] Answer call(const std::string& what, std::uint32_t opcode,
                            std::span<const std::byte> input, std::size_t output_bytes,
                            std::uint32_t deadline_ms);

  /// For commands in parallel. False: no room now, take a completion first. `output` must stay
  /// valid until the completion was taken or drain() returned.
  [[nodiscard]] bool submit(const std::string& what, std::uint32_t opcode,
                            std::span<const std::byte> input, std::span<std::byte> output,
                            std::uint64_t user_data, std::uint32_t deadline_ms);
  /// The next completion, or nothing after `timeout_ms`.
  [[nodiscard]] std::optional<Completion> next(const std::string& what, std::uint32_t timeout_ms);
  /// Cancels every submitted command and takes what completes, within a bound.
  void drain() noexcept;

  [[nodiscard]] std::size_t in_flight() const noexcept { return tags_.size(); }
  /// Bytes of input and output together that one command may have, with others beside it.
  [[nodiscard]] std::size_t transfer_bytes_max() const noexcept { return transfer_bytes_max_; }
  [[nodiscard]] const std::string& place() const noexcept { return place_; }

 private:
  struct Closer {
    void operator()(pollux_client* client) const noexcept { pollux_client_close(client); }
  };

  std::unique_ptr<pollux_client, Closer> client_;
  std::string place_;
  std::size_t transfer_bytes_max_ = 0;
  std::vector<std::uint64_t> tags_;
};

/// Throws for a ring status that is not OK. `what` completes "... failed".
void check_ring_status(const std::string& what, std::uint32_t ring_status);

/// Input structures as the ring takes them.
template <typename Input>
[[nodiscard]] std::span<const std::byte> input_of(const Input& input) noexcept {
  return std::as_bytes(std::span(&input, 1));
}

}  // namespace pollux::cli
