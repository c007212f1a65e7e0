// How long a command takes through the ring: a service thread and a hot client in one process, the
// smallest operation. Prints p50, p99 and what several in flight reach.
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "control/ring/server.hpp"
#include "pollux/client.h"
#include "tests/bench/quantile.hpp"

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kServiceSpin = std::chrono::microseconds(50);

class NoOperations final : public pollux::ring::Handler {
  void on_command(const pollux::ring::Request&) override {}
  void on_cancel(pollux::ring::RequestId) override {}
  void on_client_gone(pollux::ring::ClientId) override {}
};

void serve(pollux::ring::Server& server, const std::atomic<bool>& is_stopping) {
  NoOperations handler;
  auto last_work = Clock::now();
  while (!is_stopping) {
    const auto now = Clock::now();
    if (server.poll(handler)) {
      last_work = now;
    } else if (now - last_work > kServiceSpin && server.prepare_sleep()) {
      pollfd readable{.fd = server.wait_fd(), .events = POLLIN, .revents = 0};
      ::poll(&readable, 1, 100);
      server.finish_sleep();
    } else {
      ::sched_yield();  // a client on the same CPU cannot ask before the spin gives it up
    }
  }
}

void measure_latency(pollux_client* client) {
  constexpr int kRounds = 50000;
  std::vector<double> latencies_us;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    if (pollux_client_call(client, 1, nullptr, 0, nullptr, 0, nullptr, 1000) != 0) std::exit(1);
    latencies_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  fmt::print("hot client: p50 {:.2f} us, p99 {:.2f} us\n",
             pollux::bench::quantile(latencies_us, 0.5),
             pollux::bench::quantile(latencies_us, 0.99));
}

void measure_rate(pollux_client* client) {
  constexpr int kCommands = 500000;
  pollux_client_command command{};
  command.size = sizeof command;
  command.opcode = 1;
  int completed = 0;
  const auto start = Clock::now();
  while (completed < kCommands) {
    for (int burst = 0; burst < 16; ++burst) {
      if (pollux_client_submit(client, &command, nullptr) != 0) break;
    }
    pollux_client_completion completions[32];
    if (pollux_client_wait(client, 1000) != 1) std::exit(1);
    completed += std::max(0, pollux_client_reap(client, completions, 32));
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  fmt::print("several in flight: {:.0f} commands per second\n", kCommands / seconds);
}

}  // namespace

int main() {
  pollux::ring::ServerOptions options;
  options.socket_path = fmt::format("/tmp/pollux-ring-latency-{}.sock", ::getpid());
  auto server = pollux::ring::Server::listen(options);
  if (!server) {
    fmt::print(stderr, "{}\n", server.error().message);
    return 1;
  }
  std::atomic<bool> is_stopping{false};
  std::thread service([&] { serve(**server, is_stopping); });
  pollux_client_options client_options;
  pollux_client_options_init(&client_options);
  client_options.socket_path = options.socket_path.c_str();
  pollux_client* client = nullptr;
  char reason[256];
  const int opened = pollux_client_open(&client_options, &client, reason, sizeof reason);
  if (opened == 0) {
    measure_latency(client);
    measure_rate(client);
    pollux_client_close(client);
  } else {
    fmt::print(stderr, "{}\n", reason);
  }
  is_stopping = true;
  service.join();
  return opened == 0 ? 0 : 1;
}
