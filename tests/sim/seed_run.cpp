#include "tests/sim/seed_run.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pollux::sim {
namespace {

constexpr Duration kHealAfter = 60s;     ///< misfortunes end here at the latest
constexpr Duration kMustFinish = 1200s;  ///< and everything is over so long after that
constexpr Duration kTimerStep = 140us;   ///< a timer may be as late as one tick of the wheel
constexpr std::uint64_t kTurnsMax = 2'000'000;

/// The owner of one connection at one end: asks or answers.
class Talker {
 public:
  Talker(StreamEnd& end, const std::vector<Exchange>& exchanges, bool is_client,
         std::uint32_t depth)
      : end_(end), is_client_(is_client), depth_(depth) {
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    for (const Exchange& exchange : exchanges) {
      in += is_client ? exchange.response_bytes : exchange.request_bytes;
      out += is_client ? exchange.request_bytes : exchange.response_bytes;
      in_ends_.push_back(in);
      out_ends_.push_back(out);
    }
  }

  /// True when something moved.
  bool step(bool may_read, bool may_write) {
    if (!end_.established()) return false;
    std::uint64_t moved = 0;
    if (may_read) {
      const std::uint64_t n = end_.read(received_);
      received_ += n;
      moved += n;
      while (in_done_ < in_ends_.size() && in_ends_[in_done_] <= received_) ++in_done_;
    }
    if (!may_write || closed_ || end_.over()) return moved != 0;
    // A client keeps `depth` requests under way; a server answers what has come as a whole.
    const std::size_t may_send =
        is_client_ ? std::min(in_done_ + depth_, out_ends_.size()) : in_done_;
    const std::uint64_t target = may_send == 0 ? 0 : out_ends_[may_send - 1];
    if (written_ < target) {
      const std::uint64_t n = end_.write(written_, target - written_);
      written_ += n;
      moved += n;
    }
    return moved != 0;
  }
  void close(Instant now) {
    if (closed_ || !end_.established()) return;
    closed_ = true;
    end_.close(now);
  }
  void abort(Instant now) {
    closed_ = aborted_ = true;
    end_.abort(now);
  }

  [[nodiscard]] bool all_written() const { return written_ == out_ends_.back(); }
  [[nodiscard]] bool all_read() const { return received_ >= in_ends_.back(); }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] std::uint64_t expected() const { return in_ends_.back(); }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool aborted() const { return aborted_; }
  StreamEnd& end() { return end_; }

 private:
  StreamEnd& end_;
  bool is_client_;
  std::uint32_t depth_;
  std::vector<std::uint64_t> in_ends_, out_ends_;
  std::size_t in_done_ = 0;
  std::uint64_t received_ = 0, written_ = 0;
  bool closed_ = false, aborted_ = false;
};

class SeedRun {
 public:
  SeedRun(const SeedPlan& plan, const std::string& pcapng);
  SeedResult run(HitTable& hits);

 private:
  struct Until {
    Instant at = kNever;
    Incident incident;
  };
  bool turn();
  void talk(std::size_t connection);
  void wait();
  void start_incidents();
  void end_incidents(bool all);
  void start(const Incident& incident);
  void stop(const Incident& incident);
  void heal();
  void settle();
  [[nodiscard]] bool finished();
  [[nodiscard]] std::uint64_t received() const;
  void fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }
  void gather_complaints();

  const SeedPlan& plan_;
  SimWire wire_;
  SegmentAudit audit_;
  std::vector<std::unique_ptr<Side>> sides_;
  EngineSide* engines_[2]{};
  PeerSide* peer_ = nullptr;
  std::vector<Talker> clients_, servers_;
  std::size_t client_end_;
  std::size_t next_incident_ = 0;
  std::vector<Until> under_way_;
  std::uint32_t not_reading_[2]{}, not_writing_ = 0, link_down_ = 0, paused_[2]{}, empty_[2]{};
  std::uint32_t mac_changes_ = 0;
  SeedRecord record_;
  bool healed_ = false;
  Instant start_, abort_at_ = kNever;
  std::uint64_t turns_ = 0;
  std::string failure_;
};

SeedRun::SeedRun(const SeedPlan& plan, const std::string& pcapng)
    : plan_(plan),
      wire_(plan.seed + 1, Instant{1000s}),
      audit_({true, !plan.against_peer}),
      client_end_(plan.end1_opens ? 1 : 0),
      start_(wire_.now()) {
  if (!pcapng.empty()) wire_.record(pcapng);
  wire_.watch([this](std::size_t from, Instant, std::span<const std::byte> frame) {
    audit_.on_sent(from, frame);
  });
  for (std::size_t end : {0u, 1u}) {
    wire_.faults(end) = plan.faults[end];
    if (end == 1 && plan.against_peer) {
      auto side = std::make_unique<PeerSide>(wire_, plan, audit_);
      peer_ = side.get();
      record_.peer = &peer_->peer;
      sides_.push_back(std::move(side));
    } else {
      auto side = std::make_unique<EngineSide>(wire_, end, plan);
      engines_[end] = side.get();
      record_.engines.push_back(engines_[end]);
      sides_.push_back(std::move(side));
    }
  }
  for (std::size_t i = 0; i < plan.connections; ++i) {
    clients_.emplace_back(sides_[client_end_]->stream(i), plan.exchanges[i], true, plan.depth);
    servers_.emplace_back(sides_[1 - client_end_]->stream(i), plan.exchanges[i], false, plan.depth);
    const std::uint16_t port0 = plan.end1_opens ? plan.port : plan.client_port(i);
    const std::uint16_t port1 = plan.end1_opens ? plan.client_port(i) : plan.port;
    for (std::size_t end : {0u, 1u}) audit_.expect_stream(end, port0, port1, 2 * i + end);
  }
  record_.plan = &plan;
  record_.wire = &wire_;
}

std::uint64_t SeedRun::received() const {
  std::uint64_t sum = 0;
  for (const Talker& talker : clients_) sum += talker.received();
  for (const Talker& talker : servers_) sum += talker.received();
  return sum;
}

void SeedRun::start(const Incident& incident) {
  const std::size_t end = incident.end;
  ++record_.incidents[static_cast<std::size_t>(incident.kind)];
  switch (incident.kind) {
    case IncidentKind::lose_next:
      for (std::uint32_t n = 1; n <= incident.count; ++n) wire_.drop_nth(end, n);
      return;
    case IncidentKind::pause:
      wire_.set_paused(end, true);
      ++paused_[end];
      break;
    case IncidentKind::link_down:
      wire_.set_link(false);
      ++link_down_;
      break;
    case IncidentKind::change_mac: {
      const auto number = static_cast<std::uint8_t>(end + 1);
      const std::array<std::uint8_t, 6> own{2, 0, 0, 0, 0, number};
      const std::array<std::uint8_t, 6> shown{
          2, 0, 0, static_cast<std::uint8_t>(++mac_changes_), 0, number};
      const std::array<std::uint8_t, 4> address{10, 99, 0, number};
      wire_.change_mac(end, own, shown, address, incident.announced);
      return;
    }
    case IncidentKind::empty_pool:
      sides_[end]->set_pool_empty(true);
      ++empty_[end];
      break;
    case IncidentKind::slow_reader:
      ++not_reading_[end];
      break;
    case IncidentKind::idle:
      ++not_writing_;
      break;
    case IncidentKind::worker_stalls:
      sides_[end]->stalled_until = wire_.now() + incident.lasts;
      return;
  }
  under_way_.push_back({wire_.now() + incident.lasts, incident});
}

void SeedRun::stop(const Incident& incident) {
  const std::size_t end = incident.end;
  switch (incident.kind) {
    case IncidentKind::pause:
      if (--paused_[end] == 0) wire_.set_paused(end, false);
      break;
    case IncidentKind::link_down:
      if (--link_down_ == 0) wire_.set_link(true);
      break;
    case IncidentKind::empty_pool:
      if (--empty_[end] == 0) sides_[end]->set_pool_empty(false);
      break;
    case IncidentKind::slow_reader:
      --not_reading_[end];
      break;
    case IncidentKind::idle:
      --not_writing_;
      break;
    case IncidentKind::lose_next:
    case IncidentKind::change_mac:
    case IncidentKind::worker_stalls:
      break;
  }
}

void SeedRun::start_incidents() {
  const std::uint64_t done = received();
  while (next_incident_ < plan_.incidents.size() &&
         plan_.incidents[next_incident_].at_bytes <= done && !healed_)
    start(plan_.incidents[next_incident_++]);
}

void SeedRun::end_incidents(bool all) {
  std::erase_if(under_way_, [&](const Until& until) {
    if (!all && until.at > wire_.now()) return false;
    stop(until.incident);
    return true;
  });
}

void SeedRun::heal() {
  healed_ = true;
  wire_.heal();
  end_incidents(true);
  // A slow seed still gets what the plan promised: single losses do not hold up its end.
  for (; next_incident_ < plan_.incidents.size(); ++next_incident_)
    start({.kind = IncidentKind::lose_next, .end = plan_.incidents[next_incident_].end});
  if (peer_ == nullptr) return;
  ReferencePeerOptions& o = peer_->peer.options();
  o.renege_ppm = o.split_ack_ppm = o.dup_ack_ppm = o.old_ack_ppm = o.forge_ppm = o.shrink_ppm = 0;
  o.overlap_ppm = o.beyond_ppm = 0;
}

/// One connection: both owners do a bit, then the ending that the plan has chosen.
void SeedRun::talk(std::size_t connection) {
  const Instant now = wire_.now();
  Talker& client = clients_[connection];
  Talker& server = servers_[connection];
  const bool done = client.all_read() && client.all_written();
  switch (plan_.ending) {
    case Ending::client_first:
      if (done) client.close(now);
      break;
    case Ending::server_first:
      if (server.all_written()) server.close(now);
      break;
    case Ending::both:
      if (done && server.all_written()) {
        client.close(now);
        server.close(now);
      }
      break;
    case Ending::half_close:
      if (client.all_written()) client.close(now);
      break;
    case Ending::client_aborts:
    case Ending::server_aborts: {
      const bool is_far = client.received() + server.received() >=
                          (client.expected() + server.expected()) / 20 * 19;
      Talker& who = plan_.ending == Ending::client_aborts ? client : server;
      Talker& other = plan_.ending == Ending::client_aborts ? server : client;
      if (is_far && !who.aborted()) {
        who.abort(now);
        abort_at_ = now + 5s;
      }
      // A RST may be lost, and a quiet connection then stands for ever.
      if (who.aborted() && now >= abort_at_ && !other.end().over()) other.abort(now);
      break;
    }
  }
  if (client.end().peer_closed() && (client.all_written() || client.end().was_aborted()))
    client.close(now);
  if (server.end().peer_closed() && server.all_written()) server.close(now);
}

bool SeedRun::turn() {
  const Instant now = wire_.now();
  bool busy = false;
  start_incidents();
  end_incidents(false);
  for (std::size_t end : {0u, 1u}) {
    Side& side = *sides_[end];
    busy |= side.turn(now) != 0;
    if (now >= side.stalled_until)
      for (Talker& talker : end == client_end_ ? clients_ : servers_)
        busy |= talker.step(not_reading_[end] == 0, not_writing_ == 0);
    if (end == 1 || plan_.ending != Ending::both)
      for (std::size_t i = 0; i < clients_.size(); ++i) talk(i);
    busy |= side.send(now) != 0;
  }
  if (plan_.ending == Ending::both) sides_[0]->send(now);
  gather_complaints();
  return busy;
}

void SeedRun::gather_complaints() {
  if (!audit_.complaint().empty()) fail(audit_.complaint());
  for (std::size_t end : {0u, 1u})
    if (!sides_[end]->complaint.empty())
      fail(fmt::format("end {}: {}", end, sides_[end]->complaint));
}

void SeedRun::wait() {
  Instant next = wire_.next_event();
  for (const Until& until : under_way_) next = std::min(next, until.at);
  if (abort_at_ > wire_.now()) next = std::min(next, abort_at_);
  // Looking through the timer wheel is dear; a frame that is due anyway comes first.
  if (next > wire_.now() + plan_.poll) {
    for (const auto& side : sides_) next = std::min(next, side->next_deadline());
    if (next <= wire_.now()) next = wire_.now() + kTimerStep;
  }
  if (next == kNever) return fail("a stall: nothing is under way and no timer runs");
  if (next < wire_.now() + plan_.poll) next = wire_.now() + plan_.poll;
  const Instant heal_at = start_ + kHealAfter;
  if (!healed_) next = std::min(next, std::max(heal_at, wire_.now() + 1ns));
  wire_.advance(next);
  if (!healed_ && next >= heal_at) heal();
  if (next > heal_at + kMustFinish) fail("not over in time although the wire is sound");
}

bool SeedRun::finished() {
  for (std::size_t i = 0; i < clients_.size(); ++i)
    if (!clients_[i].end().over() || !servers_[i].end().over()) return false;
  return true;
}

/// TIME-WAIT runs out, frames under way arrive, completions come.
void SeedRun::settle() {
  heal();
  while (failure_.empty() && !(sides_[0]->quiet() && sides_[1]->quiet())) {
    if (++turns_ > kTurnsMax) return fail("a livelock at the end");
    if (!turn()) wait();
  }
  for (int i = 0; i < 4 && failure_.empty(); ++i) {
    wire_.advance(wire_.now() + 50ms);
    while (turn() && ++turns_ < kTurnsMax && failure_.empty()) {
    }
  }
  // What came last may have been asked more than a port takes at once: the answers leave as well.
  for (int i = 0; i < 100 && !(sides_[0]->quiet() && sides_[1]->quiet()); ++i) {
    wire_.advance(wire_.now() + 1ms);
    turn();
  }
}

SeedResult SeedRun::run(HitTable& hits) {
  for (std::size_t i = 0; i < plan_.connections; ++i) {
    sides_[client_end_]->open(i, wire_.now());
    if (plan_.both_open) sides_[1 - client_end_]->open(i, wire_.now());
  }
  while (failure_.empty() && !finished()) {
    if (++turns_ > kTurnsMax) fail("a livelock: the turns do not end");
    if (!turn()) wait();
  }
  const bool aborts = plan_.ending >= Ending::client_aborts;
  for (std::size_t i = 0; i < clients_.size() && failure_.empty() && !aborts; ++i) {
    if (!clients_[i].all_read() || !servers_[i].all_read())
      fail(fmt::format("connection {} ended with {} of {} and {} of {} bytes", i,
                       clients_[i].received(), clients_[i].expected(), servers_[i].received(),
                       servers_[i].expected()));
    else if (clients_[i].received() != clients_[i].expected() ||
             servers_[i].received() != servers_[i].expected())
      fail("more bytes than were sent");
    else if (clients_[i].end().was_aborted() || servers_[i].end().was_aborted())
      fail("an orderly end was taken for an error");
  }
  if (failure_.empty()) settle();
  for (const auto& side : sides_)
    if (failure_.empty() && !side->leftovers().empty()) fail(side->leftovers());
  if (failure_.empty() && faults_of(record_) < 5) fail("fewer than five misfortunes");
  record_.bytes = received();
  if (failure_.empty()) hits.add(record_);
  return {failure_, wire_.now() - start_, turns_};
}

}  // namespace

SeedResult run_seed(const SeedPlan& plan, HitTable& hits, const std::string& pcapng) {
  SeedRun run(plan, pcapng);
  return run.run(hits);
}

}  // namespace pollux::sim
