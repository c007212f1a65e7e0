// Root only: a port on net_tap against the kernel. The kernel's side of the tap is moved into a
// network namespace of its own after the port has started, and is then asked by ARP and ICMP, with
// odd frame lengths and payload out of external memory. Exit 77 means skipped. Leaves nothing
// behind.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace {

using namespace pollux::platform;

constexpr int kSkipped = 77;
constexpr std::array<std::uint8_t, 4> kOurs = {10, 99, 77, 1};
constexpr std::array<std::uint8_t, 4> kTheirs = {10, 99, 77, 2};
constexpr auto kPatience = std::chrono::seconds(3);
constexpr std::size_t kHeaders = 14 + 20 + 8;

using Frame = std::vector<std::uint8_t>;

bool run(const std::string& command) {
  std::printf("+ %s\n", command.c_str());
  std::fflush(stdout);
  return std::system(command.c_str()) == 0;
}

/// A namespace of the kernel's side; gone with this object.
struct Namespace {
  std::string name = "pollux-smoke-" + std::to_string(::getpid());
  bool made = run("ip netns add " + name);
  ~Namespace() {
    if (made) run("ip netns del " + name);
  }
};

std::uint16_t internet_sum(const std::uint8_t* bytes, std::size_t length) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < length; ++i) sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put16(Frame& frame, std::size_t at, unsigned value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
}

Frame arp_request(const MacAddress& mac) {
  Frame frame(42, 0);
  std::fill_n(frame.begin(), 6, 0xff);
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  constexpr std::array<std::uint8_t, 10> head = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  std::copy(head.begin(), head.end(), frame.begin() + 12);
  std::copy(mac.begin(), mac.end(), frame.begin() + 22);
  std::copy(kOurs.begin(), kOurs.end(), frame.begin() + 28);
  std::copy(kTheirs.begin(), kTheirs.end(), frame.begin() + 38);
  return frame;
}

Frame echo_request(const MacAddress& mac, const Frame& their_mac, std::size_t payload) {
  Frame frame(kHeaders + payload, 0);
  std::copy(their_mac.begin(), their_mac.end(), frame.begin());
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  put16(frame, 12, 0x0800);
  frame[14] = 0x45;
  put16(frame, 16, static_cast<unsigned>(20 + 8 + payload));
  frame[22] = 64;
  frame[23] = 1;
  std::copy(kOurs.begin(), kOurs.end(), frame.begin() + 26);
  std::copy(kTheirs.begin(), kTheirs.end(), frame.begin() + 30);
  put16(frame, 24, internet_sum(frame.data() + 14, 20));
  frame[34] = 8;
  put16(frame, 38, static_cast<unsigned>(payload));
  for (std::size_t i = 0; i < payload; ++i) frame[kHeaders + i] = static_cast<std::uint8_t>(i * 31);
  put16(frame, 36, internet_sum(frame.data() + 34, 8 + payload));
  return frame;
}

class Station {
 public:
  Station(DpdkPort& port, DpdkPacketMemory& memory) : port_(port), memory_(memory) {}

  /// Sends the first `head` bytes out of a buffer and the rest out of external memory in two
  /// pieces.
  bool send(const Frame& frame, std::size_t head) {
    FrameBuffer buffer;
    if (memory_.allocate({&buffer, 1}) != 1) return false;
    std::memcpy(buffer.data, frame.data(), head);
    external_ = frame;
    std::vector<TxSegment> segments = {
        {.data = buffer.data, .length = static_cast<std::uint32_t>(head), .handle = buffer.handle}};
    const std::size_t odd = std::min<std::size_t>(frame.size() - head, 3);
    for (std::size_t at = head, size = odd; at < frame.size();
         at += size, size = frame.size() - at) {
      segments.back().flags |= kTxMore;
      segments.push_back({.data = reinterpret_cast<const std::byte*>(external_.data() + at),
                          .length = static_cast<std::uint32_t>(size),
                          .tracker = memory_.tracker(0)});
    }
    return port_.transmit(segments) == segments.size();
  }

  /// Waits for a frame that `wanted` likes.
  template <class Predicate>
  bool expect(const char* what, Frame& frame, Predicate wanted) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < until) {
      port_.reclaim();
      if (take(frame) && wanted(frame)) {
        std::printf("received %s, %zu bytes\n", what, frame.size());
        return true;
      }
    }
    std::printf("no %s\n", what);
    return false;
  }

 private:
  bool take(Frame& frame) {
    // Room for one frame of the MTU at a time.
    std::array<RxSegment, 1> segments;
    if (port_.receive(segments) == 0) return false;
    const auto* data = reinterpret_cast<const std::uint8_t*>(segments[0].data);
    frame.assign(data, data + segments[0].length);
    memory_.release({&segments[0].handle, 1});
    return true;
  }

  DpdkPort& port_;
  DpdkPacketMemory& memory_;
  Frame external_;
};

bool resolve_and_ping(DpdkPort& port, DpdkPacketMemory& memory) {
  Station station(port, memory);
  Frame answer;
  if (!station.send(arp_request(port.info().mac), 42)) return false;
  if (!station.expect("an ARP reply", answer, [](const Frame& f) {
        return f.size() >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 2;
      })) {
    return false;
  }
  const Frame their_mac(answer.begin() + 22, answer.begin() + 28);
  for (const std::size_t payload : {1U, 56U, 701U, 1472U}) {
    const Frame request = echo_request(port.info().mac, their_mac, payload);
    if (!station.send(request, kHeaders - 1)) return false;
    const bool echoed = station.expect("an echo reply", answer, [&](const Frame& f) {
      return f.size() >= request.size() && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == 0 &&
             std::equal(request.begin() + 38, request.end(), f.begin() + 38);
    });
    if (!echoed) return false;
  }
  return memory.in_flight(*memory.tracker(0)) == 0;
}

/// The sum over TCP and its pseudo-header, which a frame of the kernel must have completed itself:
/// there is no device between it and us that would do that later.
bool tcp_sum_good(const Frame& frame) {
  const std::size_t length = static_cast<std::size_t>(frame[16]) * 256 + frame[17] - 20;
  if (frame.size() < 34 + length) return false;
  Frame summed(frame.begin() + 26, frame.begin() + 34);
  summed.insert(summed.end(),
                {0, 6, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
  summed.insert(summed.end(), frame.begin() + 34, frame.begin() + 34 + static_cast<long>(length));
  return internet_sum(summed.data(), summed.size()) == 0;
}

bool kernel_completes_checksums(DpdkPort& port, DpdkPacketMemory& memory, const std::string& name) {
  if (!run("ip netns exec " + name +
           " timeout 3 bash -c '</dev/tcp/10.99.77.1/3260' 2>/dev/null &")) {
    return false;
  }
  Station station(port, memory);
  Frame syn;
  return station.expect("a SYN", syn, [](const Frame& f) {
    return f.size() >= 54 && f[23] == 6;
  }) && tcp_sum_good(syn);
}

int smoke() {
  const std::string interface = "psmk" + std::to_string(::getpid() % 100'000);
  // Nothing of this program shows up in the network of the machine.
  if (::unshare(CLONE_NEWNET) != 0) return kSkipped;
  Namespace kernel_side;
  if (!kernel_side.made) return kSkipped;
  std::string error;
  if (!start_eal({.instance = "tap-smoke-" + std::to_string(::getpid())}, error)) {
    std::printf("%s\n", error.c_str());
    return 1;
  }
  int result = 1;
  auto memory = DpdkPacketMemory::create({}, error);
  auto port = memory ? open_port({.name = "net_tap0,iface=" + interface}, *memory, error) : nullptr;
  if (!port) {
    std::printf("%s\n", error.c_str());
  } else {
    const std::size_t baseline = memory->buffers_in_use();
    const MacAddress& mac = port->info().mac;
    char link[18];
    std::snprintf(link, sizeof(link), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                  mac[3], mac[4], mac[5]);
    const std::string in = "ip -n " + kernel_side.name + " ";
    const bool moved =
        run("ip link set " + interface + " netns " + kernel_side.name) &&
        run(in + "address add 10.99.77.2/24 dev " + interface) &&
        run(in + "link set " + interface + " up") &&
        run(in + "neighbour replace 10.99.77.1 lladdr " + link + " dev " + interface);
    const bool passed = moved && resolve_and_ping(*port, *memory) &&
                        kernel_completes_checksums(*port, *memory, kernel_side.name);
    const bool returned = memory->buffers_in_use() == baseline;
    std::printf("buffers in use: %zu, at the start %zu\n", memory->buffers_in_use(), baseline);
    if (passed && returned && port->check() == pollux::platform::PortState::up) result = 0;
    port.reset();
  }
  memory.reset();
  stop_eal();
  return result;
}

}  // namespace

int main() {
  if (::geteuid() != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0) {
    std::printf("skipped: needs root and /dev/net/tun\n");
    return kSkipped;
  }
  const int result = smoke();
  std::printf("%s\n", result == 0 ? "tap smoke: ok" : "tap smoke: not ok");
  return result;
}
