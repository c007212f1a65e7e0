// Every order of FIN and RST, and what the application sees of it.
#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

namespace {
constexpr const char* kFinInSack =
    "RFC 2018 3 speaks of data; the kernel's blocks (and its reports of duplicates) count a FIN as "
    "a byte";
}  // namespace

std::vector<Stimulus> closing_stimuli() {
  using C = Conversation;
  return {
      {"PassiveClose",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.app_reads();
         c.app_closes();
         c.peer({.seq = 2, .ack = 2});
       }},
      {"FinWithData",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA", .payload = "bye"});
       }},
      {"FinOutOfOrder",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA", .seq = 4});
         c.peer({.payload = "abc"});
         c.peer({.flags = "FA", .seq = 4});
       },
       {{"peer FA seq 4 ack 1 -> A seq 1 ack 1 sack 4-5", "peer FA seq 4 ack 1 -> A seq 1 ack 1",
         kFinInSack},
        {"peer FA seq 4 ack 1 -> A seq 1 ack 5 sack 4-5", "peer FA seq 4 ack 1 -> A seq 1 ack 5",
         kFinInSack}}},
      {"FinWithDataOutOfOrder",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA", .seq = 4, .payload = "def"});
         c.app_reads();
         c.peer({.payload = "abc"});
       },
       {{"peer FA seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-8",
         "peer FA seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-7", kFinInSack}}},
      {"DataBehindFin",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.peer({.seq = 2, .payload = "more"});
       }},
      {"FinAgain",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.peer({.flags = "FA"});
       },
       {{"peer FA seq 1 ack 1 -> A seq 1 ack 2 sack 1-2", "peer FA seq 1 ack 1 -> A seq 1 ack 2",
         kFinInSack}}},
      {"HalfCloseStillSends",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.app_sends("answer");
         c.peer({.seq = 2, .ack = 7});
         c.app_closes();
         c.peer({.seq = 2, .ack = 8});
       }},
      {"HalfCloseStillReceives",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.ack = 2});
         c.peer({.ack = 2, .payload = "still here"});
         c.app_reads();
         c.peer({.flags = "FA", .seq = 11, .ack = 2});
       }},
      {"FinAndAckOfFinTogether",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "FA", .ack = 2});
       }},
      {"SimultaneousClose",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "FA", .ack = 1});
         c.peer({.seq = 2, .ack = 2});
       }},
      {"FinAgainInTimeWait",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "FA", .ack = 2});
         c.peer({.flags = "FA", .ack = 2});
       }},
      {"ResetInTimeWait",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "FA", .ack = 2});
         c.peer({.flags = "R", .seq = 2});
         c.peer({.flags = "FA", .ack = 2});
       },
       {{"peer FA seq 1 ack 2 -> R seq 2", "peer FA seq 1 ack 2 -> A seq 2 ack 2",
         "RFC 1337 3: a RST does not end TIME-WAIT; the kernel needs tcp_rfc1337 for that"}}},
      {"ResetInFinWait1",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "R", .seq = 1});
       }},
      {"ResetInFinWait2",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.ack = 2});
         c.peer({.flags = "R", .seq = 1});
       }},
      {"ResetInCloseWait",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.peer({.flags = "R", .seq = 2});
       },
       {{"application reads -> '', end of stream, EPIPE",
         "application reads -> '', end of stream, ECONNRESET",
         "RFC 9293 3.10.7.4 knows 'connection reset' only; POSIX has another name for the writer's "
         "view"}}},
      {"ResetInLastAck",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.app_closes();
         c.peer({.flags = "R", .seq = 2});
       },
       {{"application reads -> '', end of stream, ECONNRESET",
         "application reads -> '', end of stream",
         "RFC 9293 3.10.7.4, second step: in CLOSING and LAST-ACK a RST is the end and no error"}}},
      {"ResetInClosing",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.flags = "FA", .ack = 1});
         c.peer({.flags = "R", .seq = 2});
       },
       {{"application reads -> '', end of stream, ECONNRESET",
         "application reads -> '', end of stream",
         "RFC 9293 3.10.7.4, second step: in CLOSING and LAST-ACK a RST is the end and no error"}}},
      {"ResetNotExactInCloseWait",
       [](C& c) {
         c.establish();
         c.peer({.flags = "FA"});
         c.peer({.flags = "R", .seq = 3});
         c.app_sends("alive");
         c.peer({.seq = 2, .ack = 6});
       }},
      {"SynInFinWait2",
       [](C& c) {
         c.establish();
         c.app_closes();
         c.peer({.ack = 2});
         c.peer({.flags = "S", .seq = 1});
         c.peer({.flags = "FA", .ack = 2});
       }},
      {"Abort",
       [](C& c) {
         c.establish();
         c.app_sends("never mind");
         c.app_aborts();
         c.peer({.ack = 11});
       }},
      {"GoneWithUnreadData",
       [](C& c) {
         c.establish();
         c.peer({.payload = "unread"});
         c.app_drops();
       }},
  };
}

}  // namespace pollux::differential
