// What one interface has seen and done: one counter for each verdict, and a table that names them.
// Written by the worker, read by anybody.
#pragma once

#include <array>
#include <string_view>

#include "dataplane/base/counter.hpp"

namespace pollux::net {

struct Counters {
  Counter rx_frames, rx_tcp, rx_pulled_up;
  Counter drop_short_frame, drop_other_mac, drop_ether_type;
  Counter drop_ip_version, drop_ip_header_length, drop_ip_length, drop_ip_checksum;
  Counter drop_ip_fragment, drop_ip_source, drop_ip_destination, drop_ip_broadcast;
  Counter drop_ip_protocol, rx_ip_options;
  Counter drop_tcp_header, drop_tcp_checksum;
  Counter arp_requests_in, arp_replies_in, arp_requests_out, arp_replies_out;
  Counter drop_arp_malformed, drop_arp_unsolicited, arp_changed, arp_conflicts, arp_defences;
  Counter arp_unreachable, arp_table_full;
  Counter icmp_echo_in, icmp_echo_out, icmp_unreachable_in, icmp_other_in;
  Counter drop_icmp_malformed, drop_icmp_checksum, drop_icmp_rate, drop_icmp_size;
  Counter no_route;
  Counter tx_frames, tx_segments, tx_partial, tx_software_checksums, tx_dropped_no_link;
  Counter drop_reply_no_room, drop_reply_no_buffer, buffers_missing, buffers_cached;
};

struct CounterDescription {
  std::string_view name;
  std::string_view help;
  Counter Counters::*counter;
};

inline constexpr std::array kCounterDescriptions{
    CounterDescription{"rx_frames", "frames received", &Counters::rx_frames},
    CounterDescription{"rx_tcp", "TCP segments handed on", &Counters::rx_tcp},
    CounterDescription{"rx_pulled_up", "frames whose headers lay in several segments",
                       &Counters::rx_pulled_up},
    CounterDescription{"drop_short_frame", "shorter than its headers", &Counters::drop_short_frame},
    CounterDescription{"drop_other_mac", "for another station", &Counters::drop_other_mac},
    CounterDescription{"drop_ether_type", "neither IPv4 nor ARP", &Counters::drop_ether_type},
    CounterDescription{"drop_ip_version", "version is not 4", &Counters::drop_ip_version},
    CounterDescription{"drop_ip_header_length", "IHL below 5 or beyond the packet",
                       &Counters::drop_ip_header_length},
    CounterDescription{"drop_ip_length", "total length beyond the frame or below the header",
                       &Counters::drop_ip_length},
    CounterDescription{"drop_ip_checksum", "header checksum wrong", &Counters::drop_ip_checksum},
    CounterDescription{"drop_ip_fragment", "fragments are not reassembled",
                       &Counters::drop_ip_fragment},
    CounterDescription{"drop_ip_source", "source is no host address", &Counters::drop_ip_source},
    CounterDescription{"drop_ip_destination", "not our address", &Counters::drop_ip_destination},
    CounterDescription{"drop_ip_broadcast", "sent to a group of stations",
                       &Counters::drop_ip_broadcast},
    CounterDescription{"drop_ip_protocol", "neither TCP nor ICMP", &Counters::drop_ip_protocol},
    CounterDescription{"rx_ip_options", "packets whose IP options were skipped",
                       &Counters::rx_ip_options},
    CounterDescription{"drop_tcp_header", "TCP data offset wrong", &Counters::drop_tcp_header},
    CounterDescription{"drop_tcp_checksum", "TCP checksum wrong", &Counters::drop_tcp_checksum},
    CounterDescription{"arp_requests_in", "ARP requests received", &Counters::arp_requests_in},
    CounterDescription{"arp_replies_in", "ARP replies received", &Counters::arp_replies_in},
    CounterDescription{"arp_requests_out", "ARP requests sent", &Counters::arp_requests_out},
    CounterDescription{"arp_replies_out", "ARP replies sent", &Counters::arp_replies_out},
    CounterDescription{"drop_arp_malformed", "not ARP of IPv4 over Ethernet",
                       &Counters::drop_arp_malformed},
    CounterDescription{"drop_arp_unsolicited", "ARP replies nobody asked for",
                       &Counters::drop_arp_unsolicited},
    CounterDescription{"arp_changed", "neighbours that moved to another hardware address",
                       &Counters::arp_changed},
    CounterDescription{"arp_conflicts", "another station uses our address",
                       &Counters::arp_conflicts},
    CounterDescription{"arp_defences", "announcements sent to defend our address",
                       &Counters::arp_defences},
    CounterDescription{"arp_unreachable", "neighbours that did not answer",
                       &Counters::arp_unreachable},
    CounterDescription{"arp_table_full", "no entry free for a neighbour",
                       &Counters::arp_table_full},
    CounterDescription{"icmp_echo_in", "echo requests received", &Counters::icmp_echo_in},
    CounterDescription{"icmp_echo_out", "echo replies sent", &Counters::icmp_echo_out},
    CounterDescription{"icmp_unreachable_in", "destination unreachable received",
                       &Counters::icmp_unreachable_in},
    CounterDescription{"icmp_other_in", "other ICMP received and ignored",
                       &Counters::icmp_other_in},
    CounterDescription{"drop_icmp_malformed", "shorter than an ICMP header",
                       &Counters::drop_icmp_malformed},
    CounterDescription{"drop_icmp_checksum", "ICMP checksum wrong", &Counters::drop_icmp_checksum},
    CounterDescription{"drop_icmp_rate", "echo requests above the rate limit",
                       &Counters::drop_icmp_rate},
    CounterDescription{"drop_icmp_size", "echo requests too large to answer",
                       &Counters::drop_icmp_size},
    CounterDescription{"no_route", "destinations that are neither on link nor behind a gateway",
                       &Counters::no_route},
    CounterDescription{"tx_frames", "frames queued for the port", &Counters::tx_frames},
    CounterDescription{"tx_segments", "segments taken by the port", &Counters::tx_segments},
    CounterDescription{"tx_partial", "flushes after which segments stayed queued",
                       &Counters::tx_partial},
    CounterDescription{"tx_software_checksums", "TCP checksums computed here",
                       &Counters::tx_software_checksums},
    CounterDescription{"tx_dropped_no_link",
                       "segments that waited when the link went down or the port away",
                       &Counters::tx_dropped_no_link},
    CounterDescription{"drop_reply_no_room", "ARP and ICMP not sent: transmit queue too full",
                       &Counters::drop_reply_no_room},
    CounterDescription{"drop_reply_no_buffer", "ARP and ICMP not sent: no frame buffer",
                       &Counters::drop_reply_no_buffer},
    CounterDescription{"buffers_missing", "frame buffers asked for in vain",
                       &Counters::buffers_missing},
    CounterDescription{"buffers_cached", "frame buffers held ready now (a level)",
                       &Counters::buffers_cached},
};
static_assert(kCounterDescriptions.size() * sizeof(Counter) == sizeof(Counters),
              "every counter is described");

}  // namespace pollux::net
