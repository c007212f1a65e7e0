// What one engine has counted. Every drop has a counter named for its reason; the table gives name
// and help for whoever exports them.
#pragma once

#include <array>
#include <string_view>

#include "dataplane/base/counter.hpp"

namespace pollux::tcp {

struct Counters {
  Counter segments_received;
  Counter segments_predicted;
  Counter segments_sent;
  Counter bytes_received;
  Counter bytes_sent;
  Counter bytes_copied;
  Counter pure_acks_sent;
  Counter window_updates_sent;
  Counter window_probes_sent;
  Counter resets_sent;
  Counter segments_retransmitted;
  Counter bytes_retransmitted;
  Counter timeouts;
  Counter fast_recoveries;
  Counter reordering_timeouts;
  Counter rescue_retransmissions;
  Counter retransmissions_lost;
  Counter tail_probes_sent;
  Counter tail_losses_repaired;
  Counter spurious_recoveries;
  Counter dsacks_received;
  Counter sack_reneging;
  Counter ecn_established;
  Counter ecn_fallbacks;
  Counter ecn_marks_received;
  Counter ecn_echoes_received;
  Counter ecn_reductions;
  Counter ecn_change_acks;
  Counter ecn_acks_merged;
  Counter challenge_acks;
  Counter duplicate_segments;
  Counter out_of_order_segments;
  Counter opened;
  Counter accepted;
  Counter established;
  Counter window_scale_clamped;
  Counter mss_clamped;
  Counter pool_empty;
  Counter keepalives_sent;
  Counter struggling;
  Counter time_wait_entered;
  Counter time_wait_recycled;
  Counter time_wait_acks;
  Counter time_wait_reused;
  Counter pieces_copied_out;
  Counter dropped_bad_options;
  Counter dropped_no_connection;
  Counter dropped_no_slot;
  Counter dropped_paws;
  Counter dropped_no_timestamp;
  Counter dropped_outside_window;
  Counter dropped_no_ack_flag;
  Counter dropped_bad_ack;
  Counter dropped_bad_reset;
  Counter dropped_syn_in_connection;
  Counter dropped_unexpected_in_syn_sent;
  Counter dropped_after_end;
  Counter dropped_receive_queue_full;
  Counter dropped_receive_budget;
  Counter dropped_out_of_order_full;
  Counter suppressed_challenge_acks;
  Counter suppressed_resets;
  Counter path_mtu_lowered;
  Counter path_mtu_raised;
  Counter black_hole_probes;
  Counter black_holes_disproved;
  Counter hard_unreachable;
  Counter soft_unreachable;
  Counter ignored_packet_too_big;
  Counter ignored_hard_unreachable;
  Counter ignored_source_quench;
  Counter ignored_path_error_no_connection;
  Counter ignored_path_error_stale;
  Counter suppressed_time_wait_acks;
};

struct CounterRow {
  std::string_view name;
  std::string_view help;
  Counter Counters::*member;
};

inline constexpr auto kCounterRows = std::to_array<CounterRow>({
    {"tcp_segments_received_total", "segments given to TCP", &Counters::segments_received},
    {"tcp_segments_predicted_total", "of those, handled by header prediction",
     &Counters::segments_predicted},
    {"tcp_segments_sent_total", "segments built", &Counters::segments_sent},
    {"tcp_received_bytes", "payload queued in order", &Counters::bytes_received},
    {"tcp_sent_bytes", "payload sent for the first time", &Counters::bytes_sent},
    {"tcp_copied_bytes", "payload copied into frames (inline, small or retransmitted)",
     &Counters::bytes_copied},
    {"tcp_pure_acks_sent_total", "acknowledgments without data", &Counters::pure_acks_sent},
    {"tcp_window_updates_sent_total", "acknowledgments sent because the reader made room",
     &Counters::window_updates_sent},
    {"tcp_window_probes_sent_total", "probes of a closed window", &Counters::window_probes_sent},
    {"tcp_resets_sent_total", "RST sent", &Counters::resets_sent},
    {"tcp_segments_retransmitted_total", "segments sent again", &Counters::segments_retransmitted},
    {"tcp_retransmitted_bytes", "payload sent again", &Counters::bytes_retransmitted},
    {"tcp_timeouts_total", "expiries of the retransmission timer", &Counters::timeouts},
    {"tcp_fast_recoveries_total", "losses found by duplicate acknowledgments or SACK",
     &Counters::fast_recoveries},
    {"tcp_reordering_timeouts_total", "losses found because nothing arrived in time (RFC 8985 6)",
     &Counters::reordering_timeouts},
    {"tcp_rescue_retransmissions_total", "last segments sent again in a recovery (RFC 6675 4)",
     &Counters::rescue_retransmissions},
    {"tcp_retransmissions_lost_total", "retransmissions found lost by what was sent after them",
     &Counters::retransmissions_lost},
    {"tcp_tail_probes_sent_total", "tail loss probes (RFC 8985 7)", &Counters::tail_probes_sent},
    {"tcp_tail_losses_repaired_total", "losses that a tail loss probe repaired by itself",
     &Counters::tail_losses_repaired},
    {"tcp_spurious_recoveries_total", "recoveries taken back because nothing was lost",
     &Counters::spurious_recoveries},
    {"tcp_dsacks_received_total", "duplicates that the peer reported (RFC 2883)",
     &Counters::dsacks_received},
    {"tcp_sack_reneging_total", "timeouts after which the peer had dropped what it reported",
     &Counters::sack_reneging},
    {"tcp_ecn_established_total", "connections that agreed on ECN", &Counters::ecn_established},
    {"tcp_ecn_fallbacks_total", "handshakes that went on without ECN after two lost SYN",
     &Counters::ecn_fallbacks},
    {"tcp_ecn_marks_received_total", "data segments marked CE off the fast path",
     &Counters::ecn_marks_received},
    {"tcp_ecn_echoes_received_total", "acknowledgments with ECE", &Counters::ecn_echoes_received},
    {"tcp_ecn_reductions_total", "windows reduced for an ECE", &Counters::ecn_reductions},
    {"tcp_ecn_change_acks_total", "acknowledgments sent because the CE mark changed (RFC 8257 3.2)",
     &Counters::ecn_change_acks},
    {"tcp_ecn_acks_merged_total", "changes of the CE mark that could not be acknowledged apart",
     &Counters::ecn_acks_merged},
    {"tcp_challenge_acks_total", "challenge ACKs of RFC 5961", &Counters::challenge_acks},
    {"tcp_duplicate_segments_total", "segments that held nothing new",
     &Counters::duplicate_segments},
    {"tcp_out_of_order_segments_total", "segments that came before their turn",
     &Counters::out_of_order_segments},
    {"tcp_opened_total", "active opens", &Counters::opened},
    {"tcp_accepted_total", "passive opens", &Counters::accepted},
    {"tcp_established_total", "handshakes completed", &Counters::established},
    {"tcp_window_scale_clamped_total", "window scales above 14", &Counters::window_scale_clamped},
    {"tcp_mss_clamped_total", "MSS offers below the floor", &Counters::mss_clamped},
    {"tcp_pool_empty_total", "frames not built for want of a buffer", &Counters::pool_empty},
    {"tcp_keepalives_sent_total", "probes of connections on which nothing moved",
     &Counters::keepalives_sent},
    {"tcp_struggling_total", "segments sent again three times without an answer (R1)",
     &Counters::struggling},
    {"tcp_time_wait_entered_total", "connections that went to TIME-WAIT",
     &Counters::time_wait_entered},
    {"tcp_time_wait_recycled_total", "TIME-WAIT cut short because all records were in use",
     &Counters::time_wait_recycled},
    {"tcp_time_wait_acks_total", "segments answered in TIME-WAIT", &Counters::time_wait_acks},
    {"tcp_time_wait_reused_total", "new SYN that followed a TIME-WAIT (RFC 6191)",
     &Counters::time_wait_reused},
    {"tcp_pieces_copied_out_total", "small waiting pieces that gave their packet buffer back",
     &Counters::pieces_copied_out},
    {"tcp_dropped_bad_options_total", "option lengths were wrong", &Counters::dropped_bad_options},
    {"tcp_dropped_no_connection_total", "no connection has this tuple",
     &Counters::dropped_no_connection},
    {"tcp_dropped_no_slot_total", "SYN for a listener without a free connection",
     &Counters::dropped_no_slot},
    {"tcp_dropped_paws_total", "timestamp older than the last (RFC 7323 5)",
     &Counters::dropped_paws},
    {"tcp_dropped_no_timestamp_total", "timestamps negotiated but absent",
     &Counters::dropped_no_timestamp},
    {"tcp_dropped_outside_window_total", "sequence number not acceptable",
     &Counters::dropped_outside_window},
    {"tcp_dropped_no_ack_flag_total", "ACK flag absent", &Counters::dropped_no_ack_flag},
    {"tcp_dropped_bad_ack_total", "acknowledgment outside RFC 5961 5.2's range",
     &Counters::dropped_bad_ack},
    {"tcp_dropped_bad_reset_total", "RST not exactly at rcv_nxt (RFC 5961 3.2)",
     &Counters::dropped_bad_reset},
    {"tcp_dropped_syn_in_connection_total", "SYN in a synchronized state (RFC 5961 4.2)",
     &Counters::dropped_syn_in_connection},
    {"tcp_dropped_unexpected_in_syn_sent_total", "no part of a handshake",
     &Counters::dropped_unexpected_in_syn_sent},
    {"tcp_dropped_after_end_total", "data after the peer's FIN or for a connection that is over",
     &Counters::dropped_after_end},
    {"tcp_dropped_receive_queue_full_total", "no view left in the receive queue",
     &Counters::dropped_receive_queue_full},
    {"tcp_dropped_receive_budget_total",
     "payload that would have taken more packet buffers than all connections may keep",
     &Counters::dropped_receive_budget},
    {"tcp_dropped_out_of_order_full_total", "no piece left in the reassembly queue",
     &Counters::dropped_out_of_order_full},
    {"tcp_suppressed_challenge_acks_total", "challenge ACKs over the limit",
     &Counters::suppressed_challenge_acks},
    {"tcp_suppressed_resets_total",
     "RST for unknown tuples over the limit or without a way to send",
     &Counters::suppressed_resets},
    {"tcp_path_mtu_lowered_total", "ICMP has said that a segment was too big",
     &Counters::path_mtu_lowered},
    {"tcp_path_mtu_raised_total", "a lowered path MTU was forgotten", &Counters::path_mtu_raised},
    {"tcp_black_hole_probes_total", "smaller segments tried because full ones vanished",
     &Counters::black_hole_probes},
    {"tcp_black_holes_disproved_total", "smaller segments vanished as well",
     &Counters::black_holes_disproved},
    {"tcp_hard_unreachable_total", "handshakes that ICMP has ended", &Counters::hard_unreachable},
    {"tcp_soft_unreachable_total", "ICMP errors noted without effect", &Counters::soft_unreachable},
    {"tcp_ignored_packet_too_big_total", "ICMP named no smaller path MTU, or an impossible one",
     &Counters::ignored_packet_too_big},
    {"tcp_ignored_hard_unreachable_total", "ICMP against a connection that stands (RFC 5927 5)",
     &Counters::ignored_hard_unreachable},
    {"tcp_ignored_source_quench_total", "ICMP source quench (RFC 6633)",
     &Counters::ignored_source_quench},
    {"tcp_ignored_path_error_no_connection_total", "ICMP errors about no connection of ours",
     &Counters::ignored_path_error_no_connection},
    {"tcp_ignored_path_error_stale_total", "ICMP errors about nothing in flight (RFC 5927 4.1)",
     &Counters::ignored_path_error_stale},
    {"tcp_suppressed_time_wait_acks_total",
     "segments in TIME-WAIT not answered: over the limit or without a way to send",
     &Counters::suppressed_time_wait_acks},
});
static_assert(kCounterRows.size() == sizeof(Counters) / sizeof(Counter));

}  // namespace pollux::tcp
