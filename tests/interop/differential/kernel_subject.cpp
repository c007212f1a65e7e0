// The kernel's TCP as a Subject: a socket in a network namespace whose only interface is a tap that
// this process holds.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "tests/interop/differential/subject.hpp"
#include "tests/support/frame_checksum.hpp"

namespace pollux::differential {
namespace {

constexpr std::size_t kFrameBytesMax = 4096;
const char* const kInterface = "diff0";

sockaddr address_of(const net::IpAddress& address, std::uint16_t port = 0) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(address.v4_host());
  sockaddr out;
  std::memcpy(&out, &in, sizeof(out));
  return out;
}

/// Nothing for a frame that is not TCP to the peer's port.
std::optional<sim::SentSegment> parse(std::span<const std::byte> frame) {
  const sim::TcpFrame at = sim::dissect(frame);
  if (!at.valid) return std::nullopt;
  const auto header = load<wire::TcpHeader>(&frame[at.tcp]);
  if (header.destination_port.get() != kPeerPort) return std::nullopt;
  sim::SentSegment sent;
  sent.flags = header.flags;
  sent.seq = header.sequence_number.get();
  sent.ack = header.acknowledgment_number.get();
  sent.window = header.window.get();
  sent.source_port = header.source_port.get();
  sent.option_bytes = header.header_bytes() - wire::kTcpHeaderBytes;
  if (parse_tcp_options(frame.subspan(at.tcp + wire::kTcpHeaderBytes, sent.option_bytes),
                        sent.options) != wire::OptionsVerdict::good)
    return std::nullopt;
  sent.payload.assign(reinterpret_cast<const char*>(frame.data()) + at.payload,
                      at.end - at.payload);
  return sent;
}

std::string errno_name(int error) {
  switch (error) {
    case 0:
      return "";
    case ECONNREFUSED:
      return "ECONNREFUSED";
    case ECONNRESET:
      return "ECONNRESET";
    case EPIPE:
      return "EPIPE";
    case ETIMEDOUT:
      return "ETIMEDOUT";
    default:
      return std::to_string(error);
  }
}

class KernelSubject final : public Subject {
 public:
  KernelSubject(int tap, const Addresses& addresses, const SubjectOptions& options)
      : tap_(tap), addresses_(addresses) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    // RFC 6093 6: applications leave urgent data in the stream; pollux knows nothing else.
    ::setsockopt(socket_, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const int size = static_cast<int>(options.receive_buffer);
    if (size != 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  }
  ~KernelSubject() override {
    if (socket_ >= 0) abort();
    wait(1ms);
  }
  KernelSubject(const KernelSubject&) = delete;
  KernelSubject& operator=(const KernelSubject&) = delete;

  [[nodiscard]] const char* name() const override { return "Linux"; }
  [[nodiscard]] const Addresses& addresses() const override { return addresses_; }

  void connect() override {
    const sockaddr to = address_of(addresses_.peer, kPeerPort);
    ::connect(socket_, &to, sizeof(to));
    wait(5ms);
  }
  void inject(sim::Frame frame) override {
    if (::write(tap_, frame.data(), frame.size()) < 0) error_ = "the tap refuses frames";
  }
  void wait(Duration time) override {
    const Duration until = now() + time;
    for (Duration left = time; left > Duration::zero(); left = until - now()) {
      pollfd readable{.fd = tap_, .events = POLLIN, .revents = 0};
      const timespec patience{.tv_sec = left / 1s, .tv_nsec = (left % 1s).count()};
      if (::ppoll(&readable, 1, &patience, nullptr) <= 0) continue;
      std::array<std::byte, kFrameBytesMax> frame;
      const ssize_t got = ::read(tap_, frame.data(), frame.size());
      if (got <= 0) continue;
      if (auto sent = parse(std::span(frame).first(static_cast<std::size_t>(got))))
        sent_.push_back(std::move(*sent));
    }
  }
  [[nodiscard]] Duration now() override {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }
  std::vector<sim::SentSegment> take() override { return std::exchange(sent_, {}); }

  void send(const std::string& bytes) override {
    if (::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) error_ = errno_name(errno);
  }
  Outcome look() override {
    Outcome outcome;
    if (socket_ < 0) return outcome;
    std::array<char, kFrameBytesMax> bytes;
    ssize_t got = 0;
    while ((got = ::recv(socket_, bytes.data(), bytes.size(), 0)) > 0)
      outcome.read.append(bytes.data(), static_cast<std::size_t>(got));
    if (got == 0) eof_ = true;
    if (got < 0 && errno != EAGAIN && errno != ENOTCONN && error_.empty())
      error_ = errno_name(errno);
    int pending = 0;
    socklen_t size = sizeof(pending);
    ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &pending, &size);
    if (error_.empty()) error_ = errno_name(pending);
    outcome.eof = eof_;
    outcome.error = error_;
    return outcome;
  }
  void close() override { ::shutdown(socket_, SHUT_WR); }
  void abort() override {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    drop();
  }
  void drop() override {
    ::close(socket_);
    socket_ = -1;
  }
  [[nodiscard]] std::string state() override {
    if (socket_ < 0) return "closed";
    tcp_info info{};
    socklen_t size = sizeof(info);
    if (::getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return "closed";
    constexpr std::array kNames = {"",           "established", "syn-sent", "syn-received",
                                   "fin-wait-1", "fin-wait-2",  "closed",   "closed",
                                   "close-wait", "last-ack",    "listen",   "closing"};
    return info.tcpi_state < kNames.size() ? kNames[info.tcpi_state] : "unknown";
  }

 private:
  int tap_;
  Addresses addresses_;
  int socket_ = -1;
  bool eof_ = false;
  std::string error_;
  std::vector<sim::SentSegment> sent_;
};

class Tap final : public KernelWire {
 public:
  ~Tap() override {
    for (const int fd : {tap_, control_})
      if (fd >= 0) ::close(fd);
  }

  bool open(std::string& error) {
    if (::unshare(CLONE_NEWNET) != 0) return failed(error, "unshare");
    // So that nobody but the sockets speaks.
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
    tap_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    control_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request = named();
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (tap_ < 0 || ::ioctl(tap_, TUNSETIFF, &request) != 0) return failed(error, "TUNSETIFF");
    request = named();
    request.ifr_addr = address_of(addresses_.subject);
    if (::ioctl(control_, SIOCSIFADDR, &request) != 0) return failed(error, "SIOCSIFADDR");
    request = named();
    request.ifr_netmask = address_of(net::IpAddress::v4(255, 255, 255, 0));
    if (::ioctl(control_, SIOCSIFNETMASK, &request) != 0) return failed(error, "SIOCSIFNETMASK");
    request = named();
    request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST;
    if (::ioctl(control_, SIOCSIFFLAGS, &request) != 0) return failed(error, "SIOCSIFFLAGS");
    request = named();
    if (::ioctl(control_, SIOCGIFHWADDR, &request) != 0) return failed(error, "SIOCGIFHWADDR");
    std::memcpy(addresses_.subject_mac.data(), request.ifr_hwaddr.sa_data, 6);
    // The peer answers no ARP: its address is known beforehand.
    arpreq neighbour{};
    neighbour.arp_pa = address_of(addresses_.peer);
    neighbour.arp_ha.sa_family = ARPHRD_ETHER;
    std::memcpy(neighbour.arp_ha.sa_data, addresses_.peer_mac.data(), 6);
    neighbour.arp_flags = ATF_PERM | ATF_COM;
    std::strncpy(neighbour.arp_dev, kInterface, sizeof(neighbour.arp_dev) - 1);
    return ::ioctl(control_, SIOCSARP, &neighbour) == 0 || failed(error, "SIOCSARP");
  }

  std::unique_ptr<Subject> make(const SubjectOptions& options) override {
    return std::make_unique<KernelSubject>(tap_, addresses_, options);
  }

 private:
  static ifreq named() {
    ifreq request{};
    std::strncpy(request.ifr_name, kInterface, IFNAMSIZ - 1);
    return request;
  }
  static bool failed(std::string& error, const char* call) {
    error = std::string(call) + ": " + std::strerror(errno);
    return false;
  }

  int tap_ = -1;
  int control_ = -1;
  Addresses addresses_{.peer_mac = {2, 0, 0, 0, 0, 2},
                       .subject_mac = {},
                       .peer = net::IpAddress::v4(10, 99, 78, 2),
                       .subject = net::IpAddress::v4(10, 99, 78, 1)};
};

}  // namespace

std::unique_ptr<KernelWire> KernelWire::create(std::string& error) {
  auto tap = std::make_unique<Tap>();
  if (!tap->open(error)) return nullptr;
  return tap;
}

}  // namespace pollux::differential
