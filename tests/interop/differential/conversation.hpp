// What a raw peer and an application do with one Subject, written down line by line so that two
// subjects can be compared. Sequence numbers are relative to each side's initial one, as in
// TcpScript.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/interop/differential/subject.hpp"

namespace pollux::differential {

using sim::PeerOffer;
using sim::PeerSegment;

/// How long silence is waited out: longer than either's delayed ACK (40 ms and what a busy machine
/// adds), shorter than either's retransmission timeout.
inline constexpr Duration kSettle = 100ms;

class Conversation {
 public:
  explicit Conversation(Subject& subject) : subject_(subject) {}

  // --- Openings; nothing is written down unless it goes wrong
  /// The application connects; the SYN is seen.
  void connect();
  void syn_ack(const PeerOffer& offer = {}, std::string_view payload = {});
  void establish(const PeerOffer& offer = {});

  // --- Steps, each one line with what the subject answered within kSettle
  void peer(const PeerSegment& segment);
  /// All at once; one line.
  void burst(const std::vector<PeerSegment>& segments);
  /// Raw numbers, between other ports than the connection's.
  void stray(const PeerSegment& segment);
  void pass(Duration time);
  void app_sends(const std::string& bytes);
  void app_reads();
  void app_closes();
  void app_aborts();
  void app_drops();
  /// Fills the subject's window with bytes until it is closed; no line.
  void fill_window();
  /// The last lines of every conversation.
  void conclude();

  [[nodiscard]] std::uint32_t filled() const { return filled_; }
  [[nodiscard]] std::uint32_t peer_clock();
  [[nodiscard]] std::uint32_t echo() const { return tsval_seen_; }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  /// A number of the peer's stream; behind fill_window() it counts from where that ended, because
  /// each stack offers a window of its own size.
  [[nodiscard]] std::string number(std::uint32_t relative) const;
  [[nodiscard]] std::string describe(const PeerSegment& segment) const;
  void send(const PeerSegment& segment, std::uint16_t from, std::uint16_t to, bool raw);
  std::string answers(Duration time, bool raw = false);
  std::string describe(const sim::SentSegment& sent, bool raw) const;
  void note(std::string what, std::string answer);

  Subject& subject_;
  std::vector<std::string> lines_;
  std::uint32_t iss_ = 0;            ///< of the subject
  std::uint32_t irs_ = 0xffff'fc18;  ///< of the peer
  std::uint16_t port_ = 0;
  std::uint8_t shift_ = 0;
  std::uint32_t tsval_seen_ = 0;
  std::uint32_t right_edge_ = 0;  ///< of the window the subject offered, relative
  std::uint32_t filled_ = 1;      ///< where the peer's next byte goes after fill_window()
  bool timestamps_ = false;
};

}  // namespace pollux::differential
