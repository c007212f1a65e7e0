#include "control/selftest/port_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/selftest/prober.hpp"
#include "control/service/config_text.hpp"
#include "dataplane/platform/driver_quirks.hpp"

namespace pollux::selftest {
namespace {

constexpr Duration kAnswer = 1s;     // one answer
constexpr Duration kNeighbour = 4s;  // three requests, a second apart
constexpr Duration kLink = 5s;
constexpr Duration kDuplicates = 5s;  // RFC 4862 5.4.2: a random delay and a second for each probe
// RFC 5227 2.1.1: three probes at most two seconds apart, a wait before and one behind them.
constexpr Duration kClaim = net::AddressClaim::kProbeWait +
                            (net::AddressClaim::kProbes - 1) * net::AddressClaim::kProbeMax +
                            net::AddressClaim::kAnnounceWait + 1s;
constexpr std::uint16_t kUnusedPort = 9;  // discard: hardly anybody listens there
constexpr std::size_t kSmallPing = 84;
// Pieces of odd length in the middle: where drivers' checksum functions go wrong.
constexpr std::array<std::uint32_t, 4> kOddPieces = {1, 333, 257, 100};

/// The checks of one port, in the order in which each needs the one before.
class PortTest {
 public:
  PortTest(platform::Port& port, platform::PacketMemory& memory, const service::PortConfig& config,
           const SelfTestOptions& options, std::span<std::byte> store,
           std::function<Instant()> clock, PortResult& result)
      : config_(config),
        options_(options),
        clock_(std::move(clock)),
        spy_(port),
        prober_(spy_, memory, config.interface, store, clock_),
        result_(result) {}

  void run() {
    if (!link()) return;
    const bool is_usable = ipv4();
    ipv6();
    spreading();
    if (!is_usable || !target()) return;
    if (neighbour() && small_ping()) {
      mtu();
      checksums();
      portal();
    }
    completion();
  }

 private:
  void add(const char* name, Verdict verdict, std::string sentence) {
    result_.checks.push_back({name, verdict, std::move(sentence)});
  }

  bool link() {
    const bool is_up =
        prober_.run([this] { return prober_.port_state() == platform::PortState::up; }, kLink);
    add("link", is_up ? Verdict::passed : Verdict::failed,
        is_up ? "the link is up"
              : fmt::format("the link is still down after {} s: check the cable, or the other end",
                            kLink / 1s));
    return is_up;
  }

  /// The IPv4 address is nobody else's, when that is to be checked (RFC 5227 2.1): until then
  /// nothing can be asked from it.
  bool ipv4() {
    const net::InterfaceConfig& interface = config_.interface;
    if (!interface.has_ipv4() || !interface.detect_conflicts) return true;
    prober_.run([this] { return prober_.address_state() != net::AddressState::probing; }, kClaim);
    const net::AddressState state = prober_.address_state();
    const std::string name = service::to_text(interface.address);
    if (state == net::AddressState::usable)
      add("address", Verdict::passed, fmt::format("nobody else on the link has {}", name));
    else
      add("address", Verdict::failed,
          state == net::AddressState::conflict
              ? fmt::format("another station on the link has {}: give the port another one", name)
              : fmt::format("the check for another user of {} is not over after {} s", name,
                            kClaim / 1s));
    return state == net::AddressState::usable;
  }

  /// The addresses are nobody else's (RFC 4862 5.4), and the gateway answers neighbour discovery.
  void ipv6() {
    const net::InterfaceConfig& interface = config_.interface;
    if (!interface.has_ipv6()) return;
    prober_.run([this] { return prober_.ipv6_state() != net::Ipv6State::checking; }, kDuplicates);
    const net::Ipv6State state = prober_.ipv6_state();
    if (state == net::Ipv6State::ready)
      add("ipv6 address", Verdict::passed, "nobody else on the link has the port's IPv6 addresses");
    else
      add("ipv6 address", Verdict::failed,
          state == net::Ipv6State::duplicate
              ? "another station has an IPv6 address of this port: give it another one"
              : fmt::format("the check for duplicates is not over after {} s", kDuplicates / 1s));
    if (state != net::Ipv6State::ready || interface.gateway6 == net::IpAddress{}) return;
    const bool is_known = prober_.resolve(interface.gateway6, kNeighbour);
    const std::string name = service::to_text(interface.gateway6);
    add("ipv6 neighbour", is_known ? Verdict::passed : Verdict::failed,
        is_known
            ? fmt::format("{} answers neighbour discovery", name)
            : fmt::format("{} does not answer neighbour discovery: check address, prefix, VLAN "
                          "and multicast on the way",
                          name));
  }

  /// Whether the device spreads as told shows with the first connections of several workers.
  void spreading() {
    const platform::Capabilities& table = result_.report.capabilities;
    const unsigned queues = std::min(table.rx_queues_most, table.tx_queues_most);
    if (table.driver.empty() || queues < 2) {
      add("spreading over queues", Verdict::noted,
          "the port has one queue: several workers would hand frames over in software");
    } else if (!table.at(platform::Feature::rss).offered) {
      add("spreading over queues", Verdict::noted,
          fmt::format("the port has {} queues but offers no hash to spread connections by",
                      queues));
    } else {
      add("spreading over queues", Verdict::noted,
          fmt::format("the port has {} queues and a hash to spread connections by; the self-test "
                      "uses one queue",
                      queues));
    }
  }

  bool target() {
    target_ = options_.target != net::IpAddress{} ? options_.target : config_.interface.gateway;
    if (target_ != net::IpAddress{} && target_.is_v4()) return true;
    add("neighbour", Verdict::skipped,
        "there is no gateway to ask: name an IPv4 host with --self-test-target");
    return false;
  }

  bool neighbour() {
    const bool is_known = prober_.resolve(target_, kNeighbour);
    const std::string name = service::to_text(target_);
    add("neighbour", is_known ? Verdict::passed : Verdict::failed,
        is_known ? fmt::format("the next hop to {} answers ARP", name)
                 : fmt::format("nobody answers ARP for {}: check address, prefix, VLAN and cabling",
                               name));
    return is_known;
  }

  bool small_ping() {
    bool answered = false;
    for (int tries = 0; tries < 3 && !answered; ++tries)
      answered = prober_.ping(target_, kSmallPing, kAnswer);
    add("echo", answered ? Verdict::passed : Verdict::failed,
        answered ? fmt::format("{} answers an echo request", service::to_text(target_))
                 : fmt::format("{} answers ARP but no echo request of {} bytes: a firewall?",
                               service::to_text(target_), kSmallPing));
    return answered;
  }

  void mtu() {
    const std::size_t wanted = config_.mtu;
    for (int tries = 0; tries < 2; ++tries) {
      if (!prober_.ping(target_, wanted, kAnswer)) continue;
      return add("mtu", Verdict::passed,
                 fmt::format("{} bytes pass there and back unfragmented", wanted));
    }
    std::size_t good = kSmallPing;
    for (std::size_t bad = wanted; bad - good > 1;) {
      const std::size_t middle = good + (bad - good) / 2;
      (prober_.ping(target_, middle, kAnswer / 4) ? good : bad) = middle;
    }
    add("mtu", Verdict::failed,
        fmt::format("{} bytes do not pass; {} do: set mtu = {} or raise it on the way (on a veth "
                    "pair the peer's MTU counts too)",
                    wanted, good, good));
  }

  /// One probe with sums of ours tells whether the target answers at all; one with the port's sums
  /// whether they are right.
  void checksums() {
    const net::Endpoint endpoint{target_, options_.port != 0 ? options_.port : kUnusedPort};
    spy_.use_offload(false);
    const bool answers = probe(endpoint);
    spy_.use_offload(true);
    const std::string name = service::to_text(endpoint);
    if (!answers) {
      add("transmit checksum", Verdict::skipped,
          fmt::format("{} answers no TCP, so the sums of the port cannot be judged", name));
    } else if (!spy_.info().tx_l4_checksum) {
      add("transmit checksum", Verdict::passed,
          fmt::format("computed in software over pieces of odd length, and {} believes them",
                      name));
    } else if (probe(endpoint)) {
      add("transmit checksum", Verdict::passed,
          fmt::format("the port computes them over pieces of odd length, and {} believes them",
                      name));
    } else {
      add("transmit checksum", Verdict::failed,
          fmt::format("{} answers when the sums are ours and not when they are the port's: set "
                      "checksum_offload = false for this port",
                      name));
    }
    const ChecksumVerdicts& said = spy_.verdicts();
    if (said.frames == 0) {
      add("receive checksum", Verdict::noted, "the port does not check sums: software does");
    } else if (said.wrong == 0) {
      add("receive checksum", Verdict::passed,
          fmt::format("the port and software agree on {} segments", said.agreed));
    } else if (is_same_host()) {
      add("receive checksum", Verdict::noted,
          "the port vouches for segments without sums, as ports between programs of one host do");
    } else {
      add("receive checksum", Verdict::failed,
          fmt::format("the port's verdict was wrong for {} of {} segments: set checksum_offload = "
                      "false for this port",
                      said.wrong, said.frames));
    }
  }

  [[nodiscard]] bool is_same_host() const {
    const platform::DriverQuirks& quirks = platform::quirks_of(result_.report.capabilities.driver);
    return quirks.rx_none_good || quirks.any_frame;
  }

  bool probe(const net::Endpoint& endpoint) {
    for (int tries = 0; tries < 3; ++tries)
      if (prober_.tcp(endpoint, kOddPieces, kAnswer) != TcpAnswer::none) return true;
    return false;
  }

  void portal() {
    if (options_.port == 0) return;
    const net::Endpoint endpoint{target_, options_.port};
    TcpAnswer answer = TcpAnswer::none;
    for (int tries = 0; tries < 3 && answer == TcpAnswer::none; ++tries)
      answer = prober_.tcp(endpoint, {}, kAnswer);
    const std::string name = service::to_text(endpoint);
    if (answer == TcpAnswer::accepted)
      add("portal", Verdict::passed, fmt::format("{} accepts connections", name));
    else
      add("portal", Verdict::failed,
          answer == TcpAnswer::refused
              ? fmt::format("{} refuses connections: no target listens there", name)
              : fmt::format("{} does not answer: a firewall, or the wrong address", name));
  }

  /// Drivers give transmitted buffers back when they like; until then the application's memory is
  /// pinned.
  void completion() {
    const auto is_back = [this] { return prober_.in_flight() == 0; };
    const Instant start = clock_();
    if (prober_.run(is_back, 20ms)) {
      add("transmit completion", Verdict::passed,
          "the driver gives transmitted buffers back by itself");
      return;
    }
    const bool asked = prober_.run(
        [&] {
          spy_.reclaim();
          return is_back();
        },
        200ms);
    const auto milliseconds = (clock_() - start) / 1ms;
    if (asked) {
      add("transmit completion", Verdict::passed,
          fmt::format("the driver gives transmitted buffers back when asked ({} ms)",
                      milliseconds));
      return;
    }
    for (int i = 0; i < 256 && !is_back(); ++i) {
      prober_.ping(target_, kSmallPing, 1ms);
      spy_.reclaim();
    }
    add("transmit completion", Verdict::noted,
        is_back() ? "the driver keeps transmitted buffers until more is sent: memory of an idle "
                    "application stays pinned"
                  : fmt::format("the driver still holds {} transmitted buffers: memory of an idle "
                                "application stays pinned",
                                prober_.in_flight()));
  }

  const service::PortConfig& config_;
  const SelfTestOptions& options_;
  std::function<Instant()> clock_;
  SpyPort spy_;
  Prober prober_;
  PortResult& result_;
  net::IpAddress target_;
};

}  // namespace

void check_port(platform::Port& port, platform::PacketMemory& memory,
                const service::PortConfig& config, const SelfTestOptions& options,
                std::span<std::byte> store, std::function<Instant()> clock, PortResult& result) {
  PortTest(port, memory, config, options, store, std::move(clock), result).run();
}

}  // namespace pollux::selftest
