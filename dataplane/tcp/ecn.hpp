// What a connection remembers about explicit congestion notification.
// Read first: RFC 3168 6.1, RFC 8257 3.
#pragma once

#include <cstdint>

#include "dataplane/base/serial_number.hpp"

namespace pollux::tcp {

struct EcnState {
  bool marks = false;        ///< both sides agreed: new data leaves as ECT(0)
  bool echoes = false;       ///< the peer may send ECT: its CE marks are reported
  bool exact = false;        ///< RFC 8257 3.2: report every mark, not one for each round trip
  bool echo = false;         ///< ECE goes out with every ACK; when exact, this is DCTCP.CE
  bool cwr_pending = false;  ///< the next new data says that the window was reduced
  bool echo_seen = false;    ///< the segment in hand carries ECE
  bool offered = false;      ///< one of our SYN was an ECN-setup SYN
  bool plain_sent = false;   ///< one of our SYN or SYN-ACK was not
  std::uint8_t setups_sent = 0;
  TcpSeq cwr_end;     ///< snd_nxt at the last reduction; an echo of what lies below is old news
  TcpSeq window_end;  ///< RFC 8257 3.3: end of the observation window
  /// CE on data does not take a segment off the fast path when that is what the last one had.
  [[nodiscard]] bool expects_ce() const noexcept { return exact && echo; }
};

}  // namespace pollux::tcp
