#include "tests/bridge/wire_end.hpp"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace pollux::bridge {
namespace {

constexpr std::size_t kFrameBytesMax = 16 * 1024;
constexpr int kSocketBufferBytes = 16 * 1024 * 1024;

/// A file descriptor with an end of life.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// The calling thread is in the named namespace as long as this lives; nowhere new without a name.
class InNamespace {
 public:
  explicit InNamespace(const std::string& name) {
    if (name.empty()) {
      good_ = true;
      return;
    }
    home_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    const Fd there(::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    good_ = home_.get() >= 0 && there.get() >= 0 && ::setns(there.get(), CLONE_NEWNET) == 0;
  }
  ~InNamespace() {
    if (home_.get() >= 0 && good_ && ::setns(home_.get(), CLONE_NEWNET) != 0) ::abort();
  }
  InNamespace(const InNamespace&) = delete;
  InNamespace& operator=(const InNamespace&) = delete;
  [[nodiscard]] bool good() const { return good_; }

 private:
  Fd home_;
  bool good_ = false;
};

ifreq request_for(const std::string& interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  return request;
}

/// Up, and with room for the bursts of a sender that has filled its window.
bool bring_up(const std::string& interface, unsigned queue_frames) {
  const Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(interface);
  request.ifr_qlen = static_cast<int>(queue_frames);
  if (::ioctl(control.get(), SIOCSIFTXQLEN, &request) != 0) return false;
  request = request_for(interface);
  if (::ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ::ioctl(control.get(), SIOCSIFFLAGS, &request) == 0;
}

/// Dropped frames of both directions out of the namespace's /proc/net/dev.
std::uint64_t device_drops(const std::string& interface, const std::string& netns) {
  const InNamespace inside(netns);
  std::ifstream table("/proc/thread-self/net/dev");
  for (std::string line; std::getline(table, line);) {
    const std::size_t colon = line.find(':');
    const std::size_t start = line.find_first_not_of(' ');
    if (colon == std::string::npos || line.substr(start, colon - start) != interface) continue;
    std::istringstream fields(line.substr(colon + 1));
    std::array<std::uint64_t, 12> values{};
    for (std::uint64_t& value : values) fields >> value;
    return values[3] + values[11];  // the "drop" columns of receive and transmit
  }
  return 0;
}

class TapEnd final : public WireEnd {
 public:
  TapEnd(Fd fd, std::string interface, std::string netns)
      : fd_(std::move(fd)), interface_(std::move(interface)), netns_(std::move(netns)) {}

  [[nodiscard]] int fd() const override { return fd_.get(); }

  std::size_t receive(std::size_t most,
                      const std::function<void(std::span<const std::byte>)>& taker) override {
    for (std::size_t count = 0; count < most; ++count) {
      const ssize_t bytes = ::read(fd_.get(), buffer_.data(), buffer_.size());
      if (bytes <= 0) return count;
      taker(std::span(buffer_).first(static_cast<std::size_t>(bytes)));
    }
    return most;
  }
  void send(std::span<const std::byte> frame) override {
    if (::write(fd_.get(), frame.data(), frame.size()) < 0) ++refused_;
  }
  EndLosses losses() override {
    return {.write_refused = refused_, .device_dropped = device_drops(interface_, netns_)};
  }

 private:
  Fd fd_;
  std::string interface_;
  std::string netns_;
  std::uint64_t refused_ = 0;
  std::array<std::byte, kFrameBytesMax> buffer_;
};

class PacketEnd final : public WireEnd {
 public:
  PacketEnd(Fd fd, std::string interface, std::string netns)
      : fd_(std::move(fd)), interface_(std::move(interface)), netns_(std::move(netns)) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors_[i] = {.iov_base = buffers_[i].data(), .iov_len = buffers_[i].size()};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  [[nodiscard]] int fd() const override { return fd_.get(); }

  std::size_t receive(std::size_t most,
                      const std::function<void(std::span<const std::byte>)>& taker) override {
    std::size_t count = 0;
    while (count < most) {
      const int got = ::recvmmsg(fd_.get(), messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got <= 0) break;
      for (int i = 0; i < got; ++i)
        taker(std::span(buffers_[static_cast<std::size_t>(i)])
                  .first(messages_[static_cast<std::size_t>(i)].msg_len));
      count += static_cast<std::size_t>(got);
    }
    return count;
  }
  void send(std::span<const std::byte> frame) override {
    if (::send(fd_.get(), frame.data(), frame.size(), MSG_DONTWAIT) < 0) ++refused_;
  }
  EndLosses losses() override {
    tpacket_stats statistics{};
    socklen_t size = sizeof(statistics);
    if (::getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0)
      overflow_ += statistics.tp_drops;  // reading it sets it back
    return {.read_overflow = overflow_,
            .write_refused = refused_,
            .device_dropped = device_drops(interface_, netns_)};
  }

 private:
  static constexpr std::size_t kBatch = 32;
  Fd fd_;
  std::string interface_;
  std::string netns_;
  std::uint64_t refused_ = 0;
  std::uint64_t overflow_ = 0;
  std::array<std::array<std::byte, kFrameBytesMax>, kBatch> buffers_;
  std::array<iovec, kBatch> vectors_;
  std::array<mmsghdr, kBatch> messages_;
};

Fd open_tap(const std::string& interface) {
  Fd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request = request_for(interface);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (fd.get() < 0 || ::ioctl(fd.get(), TUNSETIFF, &request) != 0) return Fd();
  return fd;
}

Fd open_packet_socket(const std::string& interface) {
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ALL);
  where.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  const int on = 1;
  const int size = kSocketBufferBytes;
  // What we send must not come back to us as what the interface has sent.
  if (fd.get() < 0 || where.sll_ifindex == 0 ||
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof(where)) != 0)
    return Fd();
  return fd;
}

}  // namespace

std::unique_ptr<WireEnd> WireEnd::open(const std::string& spec, unsigned queue_frames,
                                       std::string& error) {
  const std::size_t colon = spec.find(':');
  const std::size_t at = spec.find('@');
  const std::string kind = spec.substr(0, colon);
  if (colon == std::string::npos || (kind != "tap" && kind != "packet")) {
    error = "an end is tap:NAME@NETNS or packet:NAME@NETNS, not " + spec;
    return nullptr;
  }
  const std::string interface = spec.substr(colon + 1, at - colon - 1);
  const std::string netns = at == std::string::npos ? std::string() : spec.substr(at + 1);
  const InNamespace inside(netns);
  Fd fd;
  if (inside.good()) fd = kind == "tap" ? open_tap(interface) : open_packet_socket(interface);
  if (fd.get() < 0 || !bring_up(interface, queue_frames)) {
    error = spec + " cannot be opened: " + std::strerror(errno);
    return nullptr;
  }
  if (kind == "tap") return std::make_unique<TapEnd>(std::move(fd), interface, netns);
  return std::make_unique<PacketEnd>(std::move(fd), interface, netns);
}

}  // namespace pollux::bridge
