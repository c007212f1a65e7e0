// Data and windows: overlap, holes, urgent data, closed windows, losses told by the peer.
#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

namespace {
constexpr const char* kPartDuplicate =
    "RFC 2883 4 lets a receiver report any duplicate: pollux reports whole ones below the hole, "
    "the "
    "kernel also parts and those it holds out of order";
}  // namespace

std::vector<Stimulus> data_stimuli() {
  using C = Conversation;
  return {
      {"InOrder",
       [](C& c) {
         c.establish();
         c.peer({.payload = "one"});
         c.peer({.seq = 4, .payload = "two"});
       }},
      {"Duplicate",
       [](C& c) {
         c.establish();
         c.peer({.payload = "once"});
         c.peer({.payload = "once"});
       }},
      {"DuplicateWithoutSack",
       [](C& c) {
         c.establish({.sack = false});
         c.peer({.payload = "once"});
         c.peer({.payload = "once"});
       }},
      {"OverlapOnTheLeft",
       [](C& c) {
         c.establish();
         c.peer({.payload = "abcd"});
         c.peer({.seq = 3, .payload = "cdef"});
       },
       {{"peer A seq 3 ack 1 4 bytes -> A seq 1 ack 7 sack 3-5",
         "peer A seq 3 ack 1 4 bytes -> A seq 1 ack 7", kPartDuplicate}}},
      {"HoleAndFill",
       [](C& c) {
         c.establish();
         c.peer({.seq = 4, .payload = "def"});
         c.peer({.seq = 10, .payload = "jkl"});
         c.peer({.seq = 1, .payload = "abc"});
         c.peer({.seq = 7, .payload = "ghi"});
       }},
      {"HoleWithoutSack",
       [](C& c) {
         c.establish({.sack = false});
         c.peer({.seq = 4, .payload = "def"});
         c.peer({.seq = 1, .payload = "abc"});
       }},
      {"FillThatOverlapsBothSides",
       [](C& c) {
         c.establish();
         c.peer({.payload = "ab"});
         c.peer({.seq = 5, .payload = "ef"});
         c.peer({.seq = 2, .payload = "bcdef"});
       },
       {{"peer A seq 2 ack 1 5 bytes -> A seq 1 ack 7 sack 2-3",
         "peer A seq 2 ack 1 5 bytes -> A seq 1 ack 7", kPartDuplicate}}},
      {"DuplicateOutOfOrder",
       [](C& c) {
         c.establish();
         c.peer({.seq = 4, .payload = "def"});
         c.peer({.seq = 4, .payload = "def"});
         c.peer({.payload = "abc"});
       },
       {{"peer A seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-7 sack 4-7",
         "peer A seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-7", kPartDuplicate}}},
      {"OutOfOrderConflict",
       [](C& c) {
         c.establish();
         c.peer({.seq = 4, .payload = "def"});
         c.peer({.seq = 4, .payload = "XYZ"});
         c.peer({.payload = "abc"});
       },
       {{"peer A seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-7 sack 4-7",
         "peer A seq 4 ack 1 3 bytes -> A seq 1 ack 1 sack 4-7", kPartDuplicate}}},
      {"UrgentInline",
       [](C& c) {
         c.establish();
         c.peer({.flags = "AU", .payload = "hurry"});
         c.peer({.seq = 6, .payload = "up"});
       }},
      {"BeyondTheWindow",
       [](C& c) {
         c.establish();
         c.peer({.seq = 0x0fff'ffff, .payload = "far"});
         c.peer({.payload = "near"});
       }},
      {"ClosedWindow",
       [](C& c) {
         c.establish();
         c.fill_window();
         c.peer({.seq = c.filled(), .payload = "?"});
         c.peer({.seq = c.filled() - 1});
         c.app_reads();
         c.peer({.seq = c.filled(), .payload = "!"});
       },
       {},
       {.receive_buffer = 8192}},
      {"PeerShrinksItsWindow",
       [](C& c) {
         c.establish();
         c.app_sends("first");
         c.peer({.ack = 1, .window = 0});
         c.peer({.ack = 6, .window = 0});
         c.app_sends("second");
         c.peer({.ack = 6, .window = 1000});
         c.peer({.ack = 12});
       }},
      {"WindowOfThePeerOpens",
       [](C& c) {
         c.establish();
         c.peer({.ack = 1, .window = 0});
         c.app_sends("waiting");
         c.peer({.ack = 1, .window = 0xffff});
         c.peer({.ack = 8});
       }},
      {"ThreeDuplicateAcksWithSack",
       [](C& c) {
         c.establish({.mss = 1000});
         c.app_sends(sim::pattern(988 * 5));
         c.burst({{.ack = 1, .sack = {{TcpSeq{989}, TcpSeq{1977}}}},
                  {.ack = 1, .sack = {{TcpSeq{989}, TcpSeq{2965}}}},
                  {.ack = 1, .sack = {{TcpSeq{989}, TcpSeq{4941}}}}});
         c.peer({.ack = 4941});
       }},
  };
}

}  // namespace pollux::differential
