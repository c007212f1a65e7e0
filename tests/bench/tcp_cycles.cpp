// Stack cycles of dataplane/net and dataplane/tcp alone: per received segment, per acknowledgment,
// per sent segment, per idle poll; memory of an idle connection; many connections against one.
//
//   tcp_cycles [--quick] [--only PART] [--cpu N] [--json FILE]    the table
//   tcp_cycles --check    exact counts of one round and very loose bounds: a gate for tests
//
// Cycles are those of the time stamp counter, which runs at the nominal clock, on one CPU. A burst
// of 32 is timed as a whole; a round is the median of its bursts; the table shows the least burst
// of all (what the code costs when nobody disturbs it), the median round and the highest round.
// Left out: the port and its driver (the lab's port counts its own cycles, which are taken off),
// buffer pools (the lab's is a stack), copying to the reader, and cold lines of a NIC: frames lie
// in the first-level or second-level cache. What is in: net, tcp, the events, a reader that takes
// and releases every piece, and the ACKs of a burst.
#include <fmt/core.h>
#include <fmt/os.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "dataplane/tcp/connection.hpp"
#include "dataplane/tcp/counters.hpp"
#include "tests/bench/cycles_lab.hpp"

namespace pollux::bench {
namespace {

constexpr std::uint32_t kMany = 4096;
constexpr int kIdleTurns = 64;

/// More than ten times of what the goals are, so that a busy machine or a sanitizer passes.
constexpr double kSlackOfCheck = 40;

struct Plan {
  int rounds = 9;
  int bursts = 1000;
  std::string_view only{};  ///< part of the name of the figures that are wanted

  [[nodiscard]] bool wants(std::string_view name) const {
    return name.find(only) != std::string_view::npos;
  }
};

struct Figure {
  std::string name;
  std::string unit;
  double least = 0;
  double median = 0;
  double most = 0;
  double goal = 0;  ///< 0: none
};

struct Subject {
  std::string name;
  double goal = 0;
  double parts = Lab::kBurst;     ///< what one burst is divided by
  std::function<double()> burst;  ///< runs one and returns its cycles
  int bursts_least = 0;           ///< of one round, whatever the plan says
};

/// Rounds of all subjects take turns, so that what disturbs the machine meets all of them.
std::vector<Figure> measure(const Plan& plan, const std::vector<Subject>& subjects) {
  std::vector<Figure> figures;
  std::vector<std::vector<double>> medians(subjects.size());
  for (const Subject& subject : subjects) {
    figures.push_back({subject.name, "cycles", 1e18, 0, 0, subject.goal});
    for (int i = 0; i < plan.bursts / 4; ++i) subject.burst();
  }
  std::vector<double> values;
  for (int round = 0; round < plan.rounds; ++round) {
    for (std::size_t s = 0; s < subjects.size(); ++s) {
      values.clear();
      const int bursts = std::max(plan.bursts, subjects[s].bursts_least);
      for (int i = 0; i < bursts; ++i) values.push_back(subjects[s].burst() / subjects[s].parts);
      std::sort(values.begin(), values.end());
      figures[s].least = std::min(figures[s].least, values.front());
      medians[s].push_back(values[values.size() / 2]);
    }
  }
  for (std::size_t s = 0; s < subjects.size(); ++s) {
    std::sort(medians[s].begin(), medians[s].end());
    figures[s].median = medians[s][medians[s].size() / 2];
    figures[s].most = medians[s].back();
  }
  return figures;
}

/// Measures one subject, if it is wanted.
void add(const Plan& plan, std::vector<Figure>& out, Subject subject) {
  if (plan.wants(subject.name)) out.push_back(measure(plan, {std::move(subject)}).front());
}

double receive_burst(Lab& lab, std::uint32_t bytes) {
  for (std::size_t i = 0; i < Lab::kBurst; ++i) lab.lay_segment(0, bytes);
  const std::uint64_t cycles = lab.turn();
  lab.collect();
  return static_cast<double>(cycles);
}

double ack_burst(Lab& lab, std::uint32_t segments) {
  const std::uint32_t mss = lab.segment_bytes();
  lab.send_untimed(0, mss * segments * Lab::kBurst, 1);
  for (std::size_t i = 0; i < Lab::kBurst; ++i) lab.lay_ack(0, mss * segments);
  const std::uint64_t cycles = lab.turn();
  lab.collect();
  return static_cast<double>(cycles);
}

double send_burst(Lab& lab, std::uint32_t bytes, std::uint32_t pieces) {
  const std::uint64_t cycles = lab.send(0, bytes, pieces);
  lab.collect();
  lab.acknowledge_all(0);
  return static_cast<double>(cycles);
}

/// Each burst of 32 segments belongs to `spread` connections, and the next one to the next.
double spread_burst(Lab& lab, std::uint32_t connections, std::uint32_t spread,
                    std::uint32_t& next) {
  for (std::uint32_t i = 0; i < Lab::kBurst; ++i) {
    // An odd step meets each connection once in a lap, and neighbours in memory never in a row.
    const std::uint32_t turn = next + i % spread;
    lab.lay_segment(turn * 1597 % connections, 1448);
  }
  next += spread;
  const std::uint64_t cycles = lab.turn();
  lab.collect();
  return static_cast<double>(cycles);
}

/// The window has opened so far that 64 full segments are in flight.
void warm_up(Lab& lab) {
  for (int i = 0; i < 64; ++i) {
    lab.send_untimed(0, lab.segment_bytes() * 64, 1);
    lab.acknowledge_all(0);
  }
}

std::size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0;
  unsigned long resident = 0;
  const bool good = file != nullptr && std::fscanf(file, "%lu %lu", &total, &resident) == 2;
  if (file != nullptr) std::fclose(file);
  return good ? resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

Figure bytes_figure(std::string name, double bytes, double goal) {
  return {std::move(name), "bytes", bytes, bytes, bytes, goal};
}

/// Lines of a connection that the predicted path reads or writes for a segment with data.
std::size_t lines_touched() {
  static const tcp::Connection c;
  const std::array<const void*, 28> fields{
      &c.remote,     &c.local_port, &c.state,    &c.local,         &c.rcv_nxt,    &c.rcv_edge,
      &c.ts_recent,  &c.phase,      &c.ts_ok,    &c.last_ack_sent, &c.readable,   &c.rcv_mss,
      &c.ack_now,    &c.snd_una,    &c.snd_nxt,  &c.snd_wnd,       &c.snd_wl2,    &c.dupacks,
      &c.fin_known,  &c.received,   &c.heard_at, &c.ack_at,        &c.next_dirty, &c.event_bits,
      &c.scoreboard, &c.tail_probe, &c.ecn,      &c.reassembly};
  std::set<std::uintptr_t> lines;
  for (const void* field : fields) lines.insert(reinterpret_cast<std::uintptr_t>(field) / 64);
  return lines.size();
}

void measure_receive(const Plan& plan, std::vector<Figure>& out) {
  for (const bool is_checked : {true, false}) {
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
      Lab lab({.mtu = mtu, .rx_sums_checked = is_checked});
      const std::uint32_t bytes = lab.segment_bytes();
      add(plan, out,
          {.name = fmt::format("received in-order segment, {} bytes{}", bytes,
                               is_checked ? "" : ", sums in software"),
           .goal = is_checked ? 120.0 : 0.0,
           .burst = [&] { return receive_burst(lab, bytes); }});
    }
  }
}

void measure_send_side(const Plan& plan, std::vector<Figure>& out) {
  for (const std::uint32_t segments : {1u, 2u}) {
    Lab lab({});
    warm_up(lab);
    add(plan, out,
        {.name = fmt::format("pure ACK of {} segment(s)", segments), .goal = 80, .burst = [&] {
           return ack_burst(lab, segments);
         }});
  }
  for (const bool is_offloaded : {true, false}) {
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
      Lab lab({.mtu = mtu, .tx_sums_offloaded = is_offloaded});
      warm_up(lab);
      const std::uint32_t bytes = lab.segment_bytes();
      const char* const sums = is_offloaded ? "" : ", sums in software";
      const double goal = is_offloaded ? 120 : 0;
      add(plan, out,
          {.name = fmt::format("sent segment, {} bytes of one buffer{}", bytes, sums),
           .goal = goal,
           .burst = [&] { return send_burst(lab, bytes * Lab::kBurst, 1); }});
      add(plan, out,
          {.name = fmt::format("sent segment, {} bytes, a buffer each{}", bytes, sums),
           .goal = goal,
           .burst = [&] { return send_burst(lab, bytes, Lab::kBurst); }});
    }
  }
  Lab idle({});
  add(plan, out, {.name = "idle poll", .goal = 60, .parts = kIdleTurns, .burst = [&] {
                    return static_cast<double>(idle.idle_turns(kIdleTurns));
                  }});
}

void measure_many(const Plan& plan, std::vector<Figure>& out) {
  const std::size_t before = resident_bytes();
  Lab many({.connections = kMany});
  const std::size_t idle = resident_bytes();
  // The lab's own share: frames, payload and far ends, as a lab of one connection has them too.
  const std::size_t before_one = resident_bytes();
  Lab one({});
  const std::size_t own = resident_bytes() - before_one;
  const double each = (static_cast<double>(idle - before) - static_cast<double>(own)) / kMany;
  out.push_back(bytes_figure("sizeof(Connection)", sizeof(tcp::Connection), 0));
  const auto lines = static_cast<double>(lines_touched());
  out.push_back({"of that, for an in-order segment", "lines", lines, lines, lines, 0});
  out.push_back(bytes_figure("resident memory per idle connection", each, 2048));

  Lab few({.connections = 32});
  const auto spread = [](std::string name, Lab& lab, std::uint32_t connections,
                         std::uint32_t in_burst) {
    const auto burst = [&lab, connections, in_burst, next = 0u]() mutable {
      return spread_burst(lab, connections, in_burst, next);
    };
    return Subject{.name = std::move(name),
                   .burst = burst,
                   .bursts_least = static_cast<int>(connections / in_burst)};
  };
  const std::vector<Figure> found = measure(
      plan, {spread("received segment, 1 connection", one, 1, 1),
             spread("received segment, 4,096 connections, by bursts", many, kMany, 1),
             spread("received segment, 32 connections, one segment each", few, 32, 32),
             spread("received segment, 4,096 connections, one segment each", many, kMany, 32)});
  out.insert(out.end(), found.begin(), found.end());
  const auto ratio = [&](const char* name, const Figure& a, const Figure& b, double goal) {
    out.push_back({name, "ratio", a.least / b.least, a.median / b.median, a.most / b.most, goal});
  };
  ratio("4,096 connections by bursts / 1", found[1], found[0], 1.3);
  ratio("4,096 connections by segments / 32", found[3], found[2], 1.3);
  const std::size_t used = resident_bytes();
  const double after =
      (static_cast<double>(used - before) - 2.0 * static_cast<double>(own)) / kMany;
  out.push_back(bytes_figure("resident memory per connection that was in use", after, 0));
}

void print(const std::vector<Figure>& figures) {
  fmt::print("{:<62} {:>8} {:>8} {:>8} {:>7}\n", "", "min", "median", "max", "goal");
  for (const Figure& f : figures) {
    const int digits = f.unit == "ratio" ? 2 : f.unit == "cycles" ? 1 : 0;
    fmt::print("{:<55} {:<6} {:>8.{}f} {:>8.{}f} {:>8.{}f} ", f.name, f.unit, f.least, digits,
               f.median, digits, f.most, digits);
    if (f.goal == 0)
      fmt::print("\n");
    else
      fmt::print("{:>7.{}f} {}\n", f.goal, f.unit == "ratio" ? 1 : 0,
                 f.median <= f.goal ? "met" : "missed");
  }
}

void write_json(const char* path, const std::vector<Figure>& figures) {
  auto file = fmt::output_file(path);
  file.print("{{\"schema\": \"pollux-tcp-cycles-1\", \"figures\": [");
  const char* separator = "\n";
  for (const Figure& f : figures) {
    file.print(
        "{}  {{\"name\": \"{}\", \"unit\": \"{}\", \"min\": {:.3f}, \"median\": {:.3f}, "
        "\"max\": {:.3f}",
        separator, f.name, f.unit, f.least, f.median, f.most);
    if (f.goal != 0) file.print(", \"goal\": {:.1f}, \"met\": {}", f.goal, f.median <= f.goal);
    file.print("}}");
    separator = ",\n";
  }
  file.print("\n]}}\n");
}

class Checker {
 public:
  void expect(const char* what, std::uint64_t found, std::uint64_t wanted) {
    if (found == wanted) return;
    fmt::print("{}: {} instead of {}\n", what, found, wanted);
    failed_ = true;
  }
  void expect_below(const char* what, double found, double bound) {
    if (found > 0 && found < bound) return;
    fmt::print("{}: {:.0f} cycles, out of all bounds ({:.0f})\n", what, found, bound);
    failed_ = true;
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

/// What one burst of each kind costs in segments, buffers and copies.
bool check_counts() {
  constexpr std::uint64_t kBurst = Lab::kBurst;
  Checker check;
  Lab lab({});
  warm_up(lab);
  const tcp::Counters& tcp = lab.engine().counters();
  const net::Counters& net = lab.interface().counters();
  const auto change = [](const Counter& counter, auto&& act) {
    const std::uint64_t before = counter.get();
    act();
    return counter.get() - before;
  };
  const auto receive = [&] { receive_burst(lab, lab.segment_bytes()); };
  const auto ack = [&] { ack_burst(lab, 2); };
  const auto send = [&] { send_burst(lab, lab.segment_bytes() * Lab::kBurst, 1); };
  check.expect("segments predicted in a burst", change(tcp.segments_predicted, receive), kBurst);
  check.expect("ACKs for a burst", change(tcp.pure_acks_sent, receive), 1);
  check.expect("ACKs predicted in a burst", change(tcp.segments_predicted, ack), kBurst);
  check.expect("ACKs for ACKs", change(tcp.pure_acks_sent, ack), 0);
  check.expect("frames for a burst of data", change(tcp.segments_sent, send), kBurst);
  check.expect("segments at the port for it", change(net.tx_segments, send), 2 * kBurst);
  check.expect("bytes copied for it", change(tcp.bytes_copied, send), 0);
  check.expect("software sums", net.tx_software_checksums.get(), 0);
  check.expect("retransmissions", tcp.segments_retransmitted.get(), 0);
  lab.turn();
  check.expect("received frames that came back", lab.memory().received_back(), lab.frames_laid());
  check.expect("buffers in use", lab.memory().buffers_in_use(), net.buffers_cached.get());
  std::vector<Figure> figures;
  const Plan plan{.rounds = 3, .bursts = 20, .only = "1448 bytes"};
  measure_receive(plan, figures);
  measure_send_side(plan, figures);
  for (const Figure& f : figures)
    if (f.goal != 0) check.expect_below(f.name.c_str(), f.least, f.goal * kSlackOfCheck);
  if (!check.failed()) fmt::print("counts are as they should be\n");
  return !check.failed();
}

/// -1: where it runs now.
bool stay_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu < 0 ? sched_getcpu() : cpu), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

int run(int argc, char** argv) {
  Plan plan;
  const char* json = nullptr;
  int cpu = -1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--check") return check_counts() ? 0 : 1;
    if (word == "--quick") {
      plan.rounds = 7;
      plan.bursts = 200;
    } else if (word == "--only" && i + 1 < argc) {
      plan.only = argv[++i];
    } else if (word == "--cpu" && i + 1 < argc) {
      cpu = std::atoi(argv[++i]);
    } else if (word == "--json" && i + 1 < argc) {
      json = argv[++i];
    } else {
      fmt::print(stderr,
                 "usage: tcp_cycles [--quick] [--only PART] [--cpu N] [--json FILE] | --check\n");
      return 2;
    }
  }
  if (!stay_on(cpu)) {
    fmt::print(stderr, "cannot run on CPU {}\n", cpu);
    return 2;
  }
  // Memory is counted in pages, and huge ones would count what nobody has touched.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  std::vector<Figure> figures;
  if (plan.only.empty() || plan.wants("connections")) measure_many(plan, figures);
  measure_receive(plan, figures);
  measure_send_side(plan, figures);
  print(figures);
  if (json != nullptr) write_json(json, figures);
  return 0;
}

}  // namespace
}  // namespace pollux::bench

int main(int argc, char** argv) { return pollux::bench::run(argc, argv); }
