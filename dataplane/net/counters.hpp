// What one interface has seen and done: one counter for each verdict, and a table that names them.
// Written by the worker, read by anybody.
#pragma once

#include <array>
#include <string_view>

#include "dataplane/base/counter.hpp"

namespace pollux::net {

struct Counters {
  Counter rx_frames, rx_tcp, rx_pulled_up;
  Counter drop_short_frame, drop_other_mac, drop_source_mac, drop_ether_type;
  Counter drop_ip_version, drop_ip_header_length, drop_ip_length, drop_ip_checksum;
  Counter drop_ip_fragment, drop_ip_source, drop_ip_destination, drop_ip_broadcast;
  Counter drop_ip_protocol, rx_ip_options;
  Counter drop_tcp_header, drop_tcp_checksum;
  Counter arp_requests_in, arp_replies_in, arp_requests_out, arp_replies_out;
  Counter drop_arp_malformed, drop_arp_unsolicited, arp_changed, arp_conflicts, arp_defences;
  Counter arp_unreachable, arp_table_full, arp_suspected;
  Counter arp_probes_out, arp_announcements_out, arp_before_use, drop_arp_sender, address_state;
  Counter icmp_echo_in, icmp_echo_out, icmp_unreachable_in, icmp_other_in;
  Counter icmp_time_exceeded_in, icmp_parameter_problem_in, icmp_source_quench_in;
  Counter icmp_redirect_in;
  Counter drop_icmp_quote_short, drop_icmp_quote_malformed, drop_icmp_quote_foreign;
  Counter drop_path_error_full;
  Counter drop_icmp_malformed, drop_icmp_checksum, drop_icmp_rate, drop_icmp_size;
  Counter no_route;
  Counter tx_frames, tx_segments, tx_partial, tx_software_checksums;
  Counter drop_reply_no_room, drop_reply_no_buffer, buffers_missing, buffers_cached;
  Counter drop_ip6_version, drop_ip6_length, drop_ip6_source, drop_ip6_destination;
  Counter drop_ip6_broadcast, drop_ip6_extension, drop_ip6_option, drop_ip6_routing;
  Counter drop_ip6_fragment, drop_ip6_next_header, drop_icmp6_malformed, drop_icmp6_checksum;
  Counter drop_icmp6_size, drop_icmp6_rate, drop_icmp6_mtu, drop_icmp6_quote, icmp6_echo_in;
  Counter icmp6_echo_out, icmp6_too_big_in, icmp6_unreachable_in, icmp6_redirects_ignored;
  Counter icmp6_other_in, nd_solicitations_in, nd_solicitations_out, nd_advertisements_in;
  Counter nd_advertisements_out, nd_router_solicitations_out, drop_nd_hop_limit;
  Counter drop_nd_malformed, drop_nd_unsolicited, drop_nd_no_address, drop_nd_rate;
  Counter nd_reflected, nd_changed, nd_unreachable, nd_confirmed, nd_table_full, nd_conflicts;
  Counter dad_duplicates, ra_in, ra_ignored, ra_prefix_ignored, ra_mtu_ignored, ra_table_full;
  Counter rx_vlan_tagged, drop_vlan_other, drop_vlan_untagged;
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
    CounterDescription{"drop_source_mac", "ICMP whose hardware source is no station",
                       &Counters::drop_source_mac},
    CounterDescription{"drop_ether_type", "neither IPv4, ARP nor IPv6", &Counters::drop_ether_type},
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
    CounterDescription{"arp_suspected", "neighbours asked again because TCP got no answer",
                       &Counters::arp_suspected},
    CounterDescription{"arp_probes_out", "probes sent before the address was used",
                       &Counters::arp_probes_out},
    CounterDescription{"arp_announcements_out", "announcements of our address sent",
                       &Counters::arp_announcements_out},
    CounterDescription{"arp_before_use", "ARP left alone while our address was not in use",
                       &Counters::arp_before_use},
    CounterDescription{"drop_arp_sender", "ARP whose sender address is no host's",
                       &Counters::drop_arp_sender},
    CounterDescription{"address_state",
                       "our IPv4 address: 0 in use, 1 being checked, 2 in conflict (a level)",
                       &Counters::address_state},
    CounterDescription{"icmp_echo_in", "echo requests received", &Counters::icmp_echo_in},
    CounterDescription{"icmp_echo_out", "echo replies sent", &Counters::icmp_echo_out},
    CounterDescription{"icmp_unreachable_in", "destination unreachable received",
                       &Counters::icmp_unreachable_in},
    CounterDescription{"icmp_other_in", "other ICMP received and ignored",
                       &Counters::icmp_other_in},
    CounterDescription{"icmp_time_exceeded_in", "ICMP time exceeded received",
                       &Counters::icmp_time_exceeded_in},
    CounterDescription{"icmp_parameter_problem_in", "ICMP parameter problem received",
                       &Counters::icmp_parameter_problem_in},
    CounterDescription{"icmp_source_quench_in", "ICMP source quench received",
                       &Counters::icmp_source_quench_in},
    CounterDescription{"icmp_redirect_in", "ICMP redirects received and ignored",
                       &Counters::icmp_redirect_in},
    CounterDescription{"drop_icmp_quote_short", "ICMP errors that quote too little of a packet",
                       &Counters::drop_icmp_quote_short},
    CounterDescription{"drop_icmp_quote_malformed",
                       "ICMP errors that quote no whole packet of their family",
                       &Counters::drop_icmp_quote_malformed},
    CounterDescription{"drop_icmp_quote_foreign",
                       "ICMP errors about packets that are not TCP of ours",
                       &Counters::drop_icmp_quote_foreign},
    CounterDescription{"drop_path_error_full", "ICMP errors beyond what TCP takes in one turn",
                       &Counters::drop_path_error_full},
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
    CounterDescription{"drop_reply_no_room", "ARP and ICMP not sent: transmit queue too full",
                       &Counters::drop_reply_no_room},
    CounterDescription{"drop_reply_no_buffer", "ARP and ICMP not sent: no frame buffer",
                       &Counters::drop_reply_no_buffer},
    CounterDescription{"buffers_missing", "frame buffers asked for in vain",
                       &Counters::buffers_missing},
    CounterDescription{"buffers_cached", "frame buffers held ready now (a level)",
                       &Counters::buffers_cached},
    CounterDescription{"drop_ip6_version", "IPv6: version is not 6", &Counters::drop_ip6_version},
    CounterDescription{"drop_ip6_length", "IPv6: payload length beyond the frame",
                       &Counters::drop_ip6_length},
    CounterDescription{"drop_ip6_source", "IPv6: source is no host address",
                       &Counters::drop_ip6_source},
    CounterDescription{"drop_ip6_destination", "IPv6: neither our address nor a group of ours",
                       &Counters::drop_ip6_destination},
    CounterDescription{"drop_ip6_broadcast",
                       "IPv6: TCP to a group, or unicast in a frame to a group",
                       &Counters::drop_ip6_broadcast},
    CounterDescription{"drop_ip6_extension",
                       "IPv6: extension headers too long, too many or misplaced",
                       &Counters::drop_ip6_extension},
    CounterDescription{"drop_ip6_option", "IPv6: an option that must be understood",
                       &Counters::drop_ip6_option},
    CounterDescription{"drop_ip6_routing", "IPv6: routing header with segments left",
                       &Counters::drop_ip6_routing},
    CounterDescription{"drop_ip6_fragment", "IPv6: fragments are not reassembled",
                       &Counters::drop_ip6_fragment},
    CounterDescription{"drop_ip6_next_header", "IPv6: neither TCP nor ICMPv6",
                       &Counters::drop_ip6_next_header},
    CounterDescription{"drop_icmp6_malformed", "ICMPv6 shorter than its form, or from nobody",
                       &Counters::drop_icmp6_malformed},
    CounterDescription{"drop_icmp6_checksum", "ICMPv6 checksum wrong",
                       &Counters::drop_icmp6_checksum},
    CounterDescription{"drop_icmp6_size", "ICMPv6 too large to be put together or answered",
                       &Counters::drop_icmp6_size},
    CounterDescription{"drop_icmp6_rate", "ICMPv6 echo requests above the rate limit",
                       &Counters::drop_icmp6_rate},
    CounterDescription{"drop_icmp6_mtu", "Packet Too Big with less than 1280 bytes",
                       &Counters::drop_icmp6_mtu},
    CounterDescription{"drop_icmp6_quote", "ICMPv6 errors about packets that are not ours",
                       &Counters::drop_icmp6_quote},
    CounterDescription{"icmp6_echo_in", "ICMPv6 echo requests received", &Counters::icmp6_echo_in},
    CounterDescription{"icmp6_echo_out", "ICMPv6 echo replies sent", &Counters::icmp6_echo_out},
    CounterDescription{"icmp6_too_big_in", "Packet Too Big about our TCP received",
                       &Counters::icmp6_too_big_in},
    CounterDescription{"icmp6_unreachable_in", "ICMPv6 unreachable about our TCP received",
                       &Counters::icmp6_unreachable_in},
    CounterDescription{"icmp6_redirects_ignored", "Redirects received and ignored",
                       &Counters::icmp6_redirects_ignored},
    CounterDescription{"icmp6_other_in", "other ICMPv6 received and ignored",
                       &Counters::icmp6_other_in},
    CounterDescription{"nd_solicitations_in", "Neighbor Solicitations received",
                       &Counters::nd_solicitations_in},
    CounterDescription{"nd_solicitations_out", "Neighbor Solicitations sent",
                       &Counters::nd_solicitations_out},
    CounterDescription{"nd_advertisements_in", "Neighbor Advertisements received",
                       &Counters::nd_advertisements_in},
    CounterDescription{"nd_advertisements_out", "Neighbor Advertisements sent",
                       &Counters::nd_advertisements_out},
    CounterDescription{"nd_router_solicitations_out", "Router Solicitations sent",
                       &Counters::nd_router_solicitations_out},
    CounterDescription{"drop_nd_hop_limit", "neighbour discovery with a hop limit below 255",
                       &Counters::drop_nd_hop_limit},
    CounterDescription{"drop_nd_malformed", "neighbour discovery against the rules of its form",
                       &Counters::drop_nd_malformed},
    CounterDescription{"drop_nd_unsolicited", "advertisements of neighbours that nobody asked for",
                       &Counters::drop_nd_unsolicited},
    CounterDescription{"drop_nd_no_address", "advertisements without the address asked for",
                       &Counters::drop_nd_no_address},
    CounterDescription{"drop_nd_rate", "solicitations above the rate limit",
                       &Counters::drop_nd_rate},
    CounterDescription{"nd_reflected", "our own neighbour discovery, come back",
                       &Counters::nd_reflected},
    CounterDescription{"nd_changed", "IPv6 neighbours that moved to another hardware address",
                       &Counters::nd_changed},
    CounterDescription{"nd_unreachable", "IPv6 neighbours that did not answer",
                       &Counters::nd_unreachable},
    CounterDescription{"nd_confirmed", "IPv6 neighbours confirmed by TCP", &Counters::nd_confirmed},
    CounterDescription{"nd_table_full", "no entry free for an IPv6 neighbour",
                       &Counters::nd_table_full},
    CounterDescription{"nd_conflicts", "another station uses an IPv6 address of ours",
                       &Counters::nd_conflicts},
    CounterDescription{"dad_duplicates", "IPv6 addresses not taken: another station has them",
                       &Counters::dad_duplicates},
    CounterDescription{"ra_in", "Router Advertisements taken", &Counters::ra_in},
    CounterDescription{"ra_ignored", "Router Advertisements ignored: accept_ra is off",
                       &Counters::ra_ignored},
    CounterDescription{"ra_prefix_ignored", "advertised prefixes not taken",
                       &Counters::ra_prefix_ignored},
    CounterDescription{"ra_mtu_ignored", "advertised MTU out of range", &Counters::ra_mtu_ignored},
    CounterDescription{"ra_table_full", "no entry free for a router or prefix",
                       &Counters::ra_table_full},
    CounterDescription{"rx_vlan_tagged", "frames with a VLAN tag of ours, or a priority tag",
                       &Counters::rx_vlan_tagged},
    CounterDescription{"drop_vlan_other", "of another VLAN", &Counters::drop_vlan_other},
    CounterDescription{"drop_vlan_untagged", "without the tag of our VLAN",
                       &Counters::drop_vlan_untagged},
};
static_assert(kCounterDescriptions.size() * sizeof(Counter) == sizeof(Counters),
              "every counter is described");

}  // namespace pollux::net
