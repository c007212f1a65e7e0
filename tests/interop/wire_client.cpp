// Root only: transfers between pollux's TCP on net_tap and a kernel_peer of another network
// namespace. One long transfer or a hundred thousand short ones; at the end every buffer has to be
// back. Prints what happened as one line of JSON; exit 0 when all is well, 77 when it cannot run.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include "tests/interop/arguments.hpp"
#include "tests/interop/transfer_client.hpp"

namespace {

using namespace pollux;
using namespace pollux::interop;

const char* const kHelp =
    R"(wire_client send|receive|mixed --tap NAME --to A.B.C.D [options]
  --address A.B.C.D  of pollux (10.99.0.2)      --port N          of the server (5001)
  --count N          transfers (1)              --parallel N      at a time (1)
  --bytes N          of each                    --bytes-min N     ... drawn from N to --bytes
  --milliseconds N   the sender stops then      --congestion NAME of a kernel that sends
  --mixed-endings    a part is aborted          --seed N
  --wait-file FILE   starts when FILE is there  --patience N      seconds without progress (30)
  --realtime         SCHED_FIFO, when the machine lets us
)";
constexpr Duration kEndOfTimeWait = 5s;
constexpr Duration kWaitForStart = 30s;

// An end by signal goes through the destructors: DPDK has files to give back.
volatile std::sig_atomic_t ended_by_signal = 0;
void on_signal(int) { ended_by_signal = 1; }

net::IpAddress address_of(const std::string& text) {
  in_addr parsed{};
  ::inet_pton(AF_INET, text.c_str(), &parsed);
  return net::IpAddress::from_v4_host(ntohl(parsed.s_addr));
}

TransferPlan plan_of(const Arguments& arguments) {
  TransferPlan plan;
  plan.server = {address_of(arguments.text("to", "")),
                 static_cast<std::uint16_t>(arguments.number("port", 5001))};
  plan.count = arguments.number("count", 1);
  plan.parallel = static_cast<std::uint32_t>(arguments.number("parallel", 1));
  plan.bytes_max = arguments.number("bytes", UINT64_C(1) << 50);
  plan.bytes_min = arguments.number("bytes-min", plan.bytes_max);
  plan.milliseconds = static_cast<std::uint32_t>(arguments.number("milliseconds", 0));
  plan.mixed_endings = arguments.has("mixed-endings");
  plan.seed = arguments.number("seed", 1);
  plan.congestion = arguments.text("congestion", "");
  if (arguments.verb() == "send") plan.operation = Operation::sink;
  if (arguments.verb() == "receive") plan.operation = Operation::source;
  if (plan.parallel == 1) {
    plan.piece_bytes = 16 * 1024;
    plan.pieces = 256;
  }
  return plan;
}

TapHostOptions host_of(const Arguments& arguments, const TransferPlan& plan) {
  TapHostOptions options;
  options.tap = arguments.text("tap", "");
  options.address = address_of(arguments.text("address", "10.99.0.2"));
  options.seed = plan.seed + static_cast<std::uint64_t>(::getpid());
  options.realtime = arguments.has("realtime");
  options.limits.connections = plan.parallel == 1 ? 4 : 256;
  options.limits.receive_views = 2048;
  options.limits.out_of_order_views = 1024;
  options.limits.receive_views_total = 4096;
  options.memory.rx_buffers = 8192;
  options.memory.frame_buffers = 4096;
  options.memory.external_buffers = 8192;
  return options;
}

class Run {
 public:
  Run(TapHost& host, const TransferPlan& plan, Duration patience)
      : host_(host), client_(host, plan), patience_(patience) {}

  /// False: nothing has moved for as long as the patience is, or a signal came.
  bool transfers() {
    start_ = progress_at_ = host_.now();
    while (!client_.done()) {
      host_.turn([this](const tcp::Event& event, Instant now) { client_.on_event(event, now); },
                 [this](Instant now) { client_.turn(now); });
      if (!progresses()) return false;
    }
    end_ = host_.now();
    return true;
  }

  /// TIME-WAIT ends, and everything has to be given back. Prints what happened.
  bool finish() {
    const Instant until = host_.now() + kEndOfTimeWait;
    while (host_.now() < until && host_.engine().open_connections() != 0)
      host_.turn([](const tcp::Event&, Instant) {}, [](Instant) {});
    const std::size_t connections = host_.engine().open_connections();
    const std::uint32_t in_flight = host_.memory().in_flight(*host_.memory().tracker(0));
    const std::string counters = host_.counters_json();
    const long missing = host_.stop();
    print(counters, fmt::format(R"("buffers_missing": {}, "external_in_flight": {}, )"
                                R"("connections_left": {})",
                                missing, in_flight, connections));
    return missing == 0 && in_flight == 0 && connections == 0;
  }

  [[nodiscard]] const TransferCounts& counts() const { return client_.counts(); }

 private:
  void print(const std::string& counters, const std::string& leftovers) {
    const TransferCounts& c = client_.counts();
    const double elapsed = std::chrono::duration<double>(end_ - start_).count();
    const double measured = static_cast<double>(c.nanoseconds) / 1e9;
    const double moved = static_cast<double>(c.bytes_sent + c.bytes_received);
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    fmt::print(
        R"({{"opened": {}, "sent_whole": {}, "received_whole": {}, "aborted_by_client": {}, )"
        R"("aborted_by_server": {}, "wrong": {}, "bad_ends": {}, "open_refused": {}, "slow_opens": {}, )"
        R"("bytes_sent": {}, "bytes_received": {}, "elapsed": {:.3f}, "seconds": {:.3f}, "mbit": {:.2f}, )"
        R"("cpu_user": {}.{:02}, "cpu_system": {}.{:02}, {}, "counters": {{{}}}}})"
        "\n",
        c.opened, c.sent_whole, c.received_whole, c.aborted_by_us, c.aborted_by_server, c.wrong,
        c.bad_ends, c.open_refused, c.slow_opens, c.bytes_sent, c.bytes_received, elapsed, measured,
        measured > 0 ? moved * 8 / measured / 1e6 : 0, usage.ru_utime.tv_sec,
        usage.ru_utime.tv_usec / 10'000, usage.ru_stime.tv_sec, usage.ru_stime.tv_usec / 10'000,
        leftovers, counters);
    std::fflush(stdout);
  }

  bool progresses() {
    if (ended_by_signal != 0) return false;
    const TransferCounts& c = client_.counts();
    const std::uint64_t moved = c.bytes_sent + c.bytes_received + c.finished();
    if (moved != moved_) {
      moved_ = moved;
      progress_at_ = host_.now();
    }
    return host_.now() - progress_at_ < patience_;
  }

  TapHost& host_;
  TransferClient client_;
  Duration patience_;
  Instant start_;
  Instant end_;
  Instant progress_at_;
  std::uint64_t moved_ = 0;
};

/// The tap's kernel side is put in its place by a script, which then makes the file. Meanwhile the
/// port is served, so that nothing piles up.
bool wait_for_start(TapHost& host, const std::string& file) {
  if (file.empty()) return true;
  const Instant until = host.now() + kWaitForStart;
  while (host.now() < until && ended_by_signal == 0) {
    host.turn([](const tcp::Event&, Instant) {}, [](Instant) {});
    if (::access(file.c_str(), F_OK) == 0) return true;
  }
  return false;
}

int run(const Arguments& arguments) {
  std::string error;
  const TransferPlan plan = plan_of(arguments);
  const auto host = TapHost::create(host_of(arguments, plan), error);
  if (!host) {
    fmt::print(stderr, "{}\n", error);
    return 1;
  }
  fmt::print(stderr, "wire_client: ready\n");
  if (!wait_for_start(*host, arguments.text("wait-file", ""))) return 1;
  Run run(*host, plan, std::chrono::seconds(arguments.number("patience", 30)));
  const bool moved = run.transfers();
  if (!moved) fmt::print(stderr, "nothing moves any more\n");
  const bool all_back = run.finish();
  const TransferCounts& counts = run.counts();
  return moved && all_back && counts.wrong == 0 && counts.bad_ends == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** values) {
  const Arguments arguments(count, values);
  const std::string& verb = arguments.verb();
  if ((verb != "send" && verb != "receive" && verb != "mixed") || !arguments.has("tap")) {
    std::fputs(kHelp, stderr);
    return 2;
  }
  if (::geteuid() != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0) {
    fmt::print("skipped: needs root and /dev/net/tun\n");
    return 77;
  }
  for (const int signal : {SIGTERM, SIGINT}) std::signal(signal, on_signal);
  return run(arguments);
}
