// Many transfers of transfer.hpp by pollux's TCP as the client: opens, moves, checks and closes
// them, several at a time, and says how each of them ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/tcp/engine.hpp"
#include "tests/interop/tap_host.hpp"
#include "tests/interop/transfer.hpp"

namespace pollux::interop {

struct TransferPlan {
  net::Endpoint server;
  std::uint64_t count = 1;
  std::uint32_t parallel = 1;
  std::uint64_t bytes_min = 0;  ///< of one transfer, drawn evenly up to bytes_max
  std::uint64_t bytes_max = 0;
  std::uint32_t milliseconds = 0;      ///< the sender of each stops then; 0: no limit
  std::optional<Operation> operation;  ///< nothing: drawn
  bool mixed_endings = false;          ///< a part is aborted by either side
  std::uint64_t seed = 1;
  std::string congestion;            ///< of a server that sends
  std::uint32_t piece_bytes = 4096;  ///< of one send_external call
  std::uint32_t pieces = 8;          ///< of memory to send from, per connection
};

struct TransferCounts {
  std::uint64_t opened = 0;
  std::uint64_t sent_whole = 0;      ///< the server has confirmed every byte
  std::uint64_t received_whole = 0;  ///< every byte was the right one, then FIN
  std::uint64_t aborted_by_us = 0;
  std::uint64_t aborted_by_server = 0;  ///< as asked for
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t wrong = 0;         ///< transfers with a wrong byte, count or verdict
  std::uint64_t bad_ends = 0;      ///< ended otherwise than asked for
  std::uint64_t open_refused = 0;  ///< open() had no slot or port; tried again
  std::uint64_t slow_opens = 0;    ///< took longer than 900 ms
  std::uint64_t nanoseconds = 0;   ///< of the last whole transfer, as its receiver measured it
  [[nodiscard]] std::uint64_t finished() const {
    return sent_whole + received_whole + aborted_by_us + aborted_by_server + wrong + bad_ends;
  }
};

class TransferClient {
 public:
  TransferClient(TapHost& host, const TransferPlan& plan);

  void on_event(const tcp::Event& event, Instant now);
  /// One turn: starts what is missing, and sends.
  void turn(Instant now);
  [[nodiscard]] bool done() const { return counts_.finished() == plan_.count; }
  [[nodiscard]] const TransferCounts& counts() const { return counts_; }

 private:
  struct Transfer {
    bool used = false;
    bool established = false;
    bool closing = false;  ///< close() or abort() was called
    bool correct = true;
    tcp::ConnectionId id;
    Instant opened_at;
    Instant first;
    Instant last;
    Request request;
    Pattern pattern;
    std::uint64_t queued = 0;    ///< bytes of data given to TCP
    std::uint64_t received = 0;  ///< of data or of the verdict
    Verdict verdict;
    std::vector<std::byte> memory;
    std::vector<tcp::SendReference> references;
    std::uint32_t next_piece = 0;
  };

  void start(Transfer& transfer, std::uint32_t slot, Instant now);
  void draw(Request& request);
  void send(Transfer& transfer, Instant now);
  void receive(Transfer& transfer, Instant now);
  void end(Transfer& transfer);
  void judge(const Transfer& transfer, tcp::EndReason reason);

  TapHost& host_;
  TransferPlan plan_;
  Random random_;
  std::uint64_t started_ = 0;
  std::vector<Transfer> transfers_;
  TransferCounts counts_;
};

}  // namespace pollux::interop
