// RFC 9293 3.10.7.1 to 3.10.7.3: segments for nobody, and segments in SYN-SENT.
#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

std::vector<Stimulus> handshake_stimuli() {
  using C = Conversation;
  return {
      {"HandshakeWithEverything", [](C& c) { c.establish(); }},
      {"HandshakeWithoutOptions",
       [](C& c) {
         c.establish({.mss = std::nullopt,
                      .window_scale = std::nullopt,
                      .sack = false,
                      .timestamps = false});
         c.app_sends(sim::pattern(600));
         c.peer({.ack = 601});
       }},
      {"SynAckWithData",
       [](C& c) {
         c.connect();
         c.syn_ack({}, "early");
       },
       {{"peer SA seq 0 ack 1 5 bytes -> A seq 1 ack 1",
         "peer SA seq 0 ack 1 5 bytes -> A seq 1 ack 6",
         "RFC 9293 3.10.7.3, fifth step, takes the text; without fast open the kernel lets it come "
         "again"},
        {"application reads -> ''", "application reads -> 'early'",
         "follows from the line above"}}},
      {"SynAckWithWrongAck",
       [](C& c) {
         c.connect();
         c.peer({.flags = "SA", .seq = 0, .ack = 0});
         c.peer({.flags = "SA", .seq = 0, .ack = 2});
         c.syn_ack();
       }},
      {"SynSentAckAlone",
       [](C& c) {
         c.connect();
         c.peer({.flags = "A", .seq = 7, .ack = 1});
         c.peer({.flags = "A", .seq = 7, .ack = 9});
         c.syn_ack();
       }},
      {"SynSentResetWithoutAck",
       [](C& c) {
         c.connect();
         c.peer({.flags = "R", .seq = 0});
         c.syn_ack();
       }},
      {"SynSentResetWithWrongAck",
       [](C& c) {
         c.connect();
         c.peer({.flags = "RA", .seq = 0, .ack = 5});
         c.syn_ack();
       }},
      {"SynSentReset",
       [](C& c) {
         c.connect();
         c.peer({.flags = "RA", .seq = 0, .ack = 1});
       }},
      {"SynSentFinAlone",
       [](C& c) {
         c.connect();
         c.peer({.flags = "F", .seq = 0});
         c.syn_ack();
       }},
      {"SimultaneousOpen",
       [](C& c) {
         c.connect();
         c.peer({.flags = "S", .seq = 0});
         c.peer({.flags = "A", .seq = 1, .ack = 1});
         c.peer({.seq = 1, .payload = "hello"});
       }},
      {"SimultaneousOpenBySynAck",
       [](C& c) {
         c.connect();
         c.peer({.flags = "S", .seq = 0});
         c.peer({.flags = "SA", .seq = 0, .ack = 1});
         c.peer({.seq = 1, .payload = "hello"});
       },
       {{"peer SA seq 0 ack 1 -> A seq 1 ack 1", "peer SA seq 0 ack 1 -> silence",
         "RFC 9293 3.5, figure 8 ends with this segment; the kernel sends one ACK more"}}},
      {"SynReceivedReset",
       [](C& c) {
         c.connect();
         c.peer({.flags = "S", .seq = 0});
         c.peer({.flags = "R", .seq = 1});
       },
       {{"application reads -> '', ECONNRESET", "application reads -> '', ECONNREFUSED",
         "RFC 9293 3.10.7.4, second step: after an active open the user is told 'connection "
         "refused'"}}},
      {"StrayAck",
       [](C& c) {
         c.establish();
         c.stray({.flags = "A", .seq = 1000, .ack = 2000});
       }},
      {"StraySyn",
       [](C& c) {
         c.establish();
         c.stray({.flags = "S", .seq = 1000});
       }},
      {"StrayData",
       [](C& c) {
         c.establish();
         c.stray({.flags = "A", .seq = 1000, .ack = 5, .payload = "hey"});
       }},
      {"StrayFinWithoutAck",
       [](C& c) {
         c.establish();
         c.stray({.flags = "F", .seq = 1000, .payload = "hey"});
       }},
      {"StrayReset",
       [](C& c) {
         c.establish();
         c.stray({.flags = "R", .seq = 1000});
       }},
      {"StrayResetAck",
       [](C& c) {
         c.establish();
         c.stray({.flags = "RA", .seq = 1000, .ack = 5});
       }},
  };
}

}  // namespace pollux::differential
