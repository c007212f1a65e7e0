// RFC 5961, RFC 7323 5 and RFC 9293 3.10.7.4's first steps: who is believed in ESTABLISHED.
#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

namespace {
constexpr const char* kFollows = "follows from the line before";
constexpr const char* kIllegalLength =
    "RFC 9293 3.1 MUST-7 wants an illegal length survived, not how: pollux drops the segment and "
    "counts "
    "it, the kernel leaves out the options and takes the rest";
}  // namespace

std::vector<Stimulus> validity_stimuli() {
  using C = Conversation;
  return {
      {"ResetExact",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 1});
       }},
      {"ResetExactBehindUnreadData",
       [](C& c) {
         c.establish();
         c.peer({.payload = "unread"});
         c.peer({.flags = "R", .seq = 7});
       }},
      {"ResetInWindow",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 2});
         c.peer({.payload = "alive"});
       }},
      {"ResetInWindowFar",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 50'001});
         c.peer({.payload = "alive"});
       }},
      {"ResetsInWindowInARow",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 2});
         c.peer({.flags = "R", .seq = 1001});
         c.peer({.payload = "alive"});
       },
       {{"peer R seq 1001 -> silence", "peer R seq 1001 -> A seq 1 ack 1",
         "RFC 5961 7 leaves the limit of challenge ACKs open: the kernel's is one in 500 ms"}}},
      {"ResetOutsideWindow",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 0});
         c.peer({.flags = "R", .seq = 0x4000'0000});
         c.peer({.payload = "alive"});
       }},
      {"ResetWithOldTimestamp",
       [](C& c) {
         c.establish();
         c.peer({.flags = "R", .seq = 1, .tsval = c.peer_clock() - 100'000});
       }},
      {"SynInWindow",
       [](C& c) {
         c.establish();
         c.peer({.flags = "S", .seq = 1});
         c.peer({.payload = "alive"});
       }},
      {"SynOutsideWindow",
       [](C& c) {
         c.establish();
         c.peer({.flags = "S", .seq = 0x5000'0000});
         c.peer({.payload = "alive"});
       }},
      {"SynAckAgain",
       [](C& c) {
         c.establish();
         c.peer({.flags = "SA", .seq = 0, .ack = 1});
         c.peer({.payload = "alive"});
       }},
      {"AckOfThePast",
       [](C& c) {
         c.establish();
         c.peer({.ack = 0});
         c.peer({.payload = "alive"});
       }},
      {"AckOfTheFarPast",
       [](C& c) {
         c.establish();
         c.peer({.ack = 0u - 0x2000'0000u, .payload = "forged"});
         c.peer({.payload = "alive"});
       }},
      {"AckOfTheFuture",
       [](C& c) {
         c.establish();
         c.peer({.ack = 2, .payload = "forged"});
         c.peer({.payload = "alive"});
       }},
      {"NoAckFlag",
       [](C& c) {
         c.establish();
         c.peer({.flags = "P", .payload = "forged"});
         c.peer({.payload = "alive"});
       }},
      {"WrongChecksum",
       [](C& c) {
         c.establish();
         c.peer({.payload = "broken", .bad_checksum = true});
         c.peer({.payload = "alive"});
       }},
      {"PawsData",
       [](C& c) {
         c.establish();
         c.peer({.payload = "one"});
         c.peer({.seq = 4, .payload = "old", .tsval = c.peer_clock() - 100'000});
         c.peer({.seq = 4, .payload = "two"});
       }},
      {"TimestampMissing",
       [](C& c) {
         c.establish();
         c.peer({.payload = "bare", .options = std::vector<std::uint8_t>{}});
         c.peer({.payload = "full"});
       },
       {{"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", "peer A seq 1 ack 1 4 bytes -> silence",
         "RFC 7323 3.2: a segment without the timestamps that were agreed on SHOULD be dropped; "
         "the kernel takes it"},
        {"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5 sack 1-5",
         "peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", kFollows},
        {"application reads -> 'bare'", "application reads -> 'full'", kFollows}}},
      {"TimestampUnaligned",
       [](C& c) {
         c.establish();
         const std::uint32_t now = c.peer_clock();
         std::vector<std::uint8_t> options = {1, 8, 10};
         for (const std::uint32_t word : {now, c.echo()})
           for (int shift = 24; shift >= 0; shift -= 8)
             options.push_back(static_cast<std::uint8_t>(word >> shift));
         options.push_back(0);
         c.peer({.payload = "odd", .options = options});
       }},
      {"UnknownOption",
       [](C& c) {
         c.establish({.timestamps = false});
         c.peer({.payload = "known", .options = std::vector<std::uint8_t>{253, 4, 1, 2}});
       }},
      {"OptionOfLengthZero",
       [](C& c) {
         c.establish({.timestamps = false});
         c.peer({.payload = "zero", .options = std::vector<std::uint8_t>{8, 0, 1, 1}});
         c.peer({.payload = "good"});
       },
       {{"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", "peer A seq 1 ack 1 4 bytes -> silence",
         kIllegalLength},
        {"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5 sack 1-5",
         "peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", kFollows},
        {"application reads -> 'zero'", "application reads -> 'good'", kFollows}}},
      {"OptionBeyondTheEnd",
       [](C& c) {
         c.establish({.timestamps = false});
         c.peer({.payload = "long", .options = std::vector<std::uint8_t>{1, 1, 253, 20}});
         c.peer({.payload = "good"});
       },
       {{"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", "peer A seq 1 ack 1 4 bytes -> silence",
         kIllegalLength},
        {"peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5 sack 1-5",
         "peer A seq 1 ack 1 4 bytes -> A seq 1 ack 5", kFollows},
        {"application reads -> 'long'", "application reads -> 'good'", kFollows}}},
      {"KeepaliveProbe",
       [](C& c) {
         c.establish();
         c.peer({.payload = "abc"});
         c.peer({.seq = 3});
       }},
      {"KeepaliveProbeWithAByte",
       [](C& c) {
         c.establish();
         c.peer({.payload = "abc"});
         c.peer({.seq = 3, .payload = "?"});
       }},
      {"EmptyBeyondTheWindow",
       [](C& c) {
         c.establish();
         c.peer({.seq = 0x4000'0000});
         c.peer({.payload = "alive"});
       }},
  };
}

}  // namespace pollux::differential
