// A worker's counters as the library shows them.
#include <pollux/pollux.h>

#include <cstddef>
#include <cstring>

#include "control/library/instance.hpp"
#include "dataplane/tcp/counters.hpp"

namespace {

using namespace pollux;

static_assert(StageClock::kStages == POLLUX_STAGES);
static_assert(static_cast<int>(Stage::digest) == POLLUX_STAGE_DIGEST &&
              static_cast<int>(Stage::transmit) == POLLUX_STAGE_TRANSMIT);
static_assert(worker::WorkerCounters::kBurstSizes == POLLUX_BURST_SIZES);

void fill(const pollux_instance& instance, const worker::Worker& source,
          pollux_worker_stats& stats) {
  const worker::WorkerCounters& counters = source.counters();
  const iscsi::Counters& commands = source.initiator().counters();
  stats.turns = counters.turns.get();
  stats.busy_cycles = counters.busy_cycles.get();
  stats.idle_cycles = counters.idle_cycles.get();
  stats.away_cycles = counters.away_cycles.get();
  stats.tsc_hz = instance.tsc_hz;
  stats.commands = commands.commands_completed.get();
  stats.copied_bytes = commands.copied_bytes.get();
  stats.frames_received = counters.frames_received.get();
  stats.frames_sent = counters.frames_sent.get();
  for (std::size_t i = 0; i < source.path_count(); ++i)
    stats.retransmitted_segments += source.engine(i).counters().segments_retransmitted.get();
  stats.buffers_in_use = counters.buffers_in_use.get();
  stats.tasks_in_use = counters.tasks_in_use.get();
  stats.timers_armed = counters.timers_armed.get();
  stats.naps = counters.naps.get();
  stats.nap_cycles = counters.nap_cycles.get();
  stats.read_bytes = commands.read_bytes.get();
  stats.written_bytes = commands.written_bytes.get();
  for (std::size_t i = 0; i < POLLUX_STAGES; ++i)
    stats.sampled_cycles[i] = source.stages().sampled(static_cast<Stage>(i));
  for (std::size_t i = 0; i < POLLUX_BURST_SIZES; ++i) {
    stats.received_bursts[i] = counters.received_bursts[i].get();
    stats.sent_bursts[i] = counters.sent_bursts[i].get();
  }
}

/// What the structure ended with in the first version: callers compiled then ask for no more.
constexpr std::size_t kLeastBytes = offsetof(pollux_worker_stats, away_cycles);

}  // namespace

extern "C" {

const char* pollux_stage_name(std::uint32_t stage) {
  return stage < kStageNames.size() ? kStageNames[stage] : nullptr;
}

int pollux_worker_stats_get(const pollux_instance* instance, std::uint32_t worker,
                            pollux_worker_stats* stats) {
  const std::size_t size = stats->size;
  if (worker >= instance->units.size() || size < kLeastBytes || size > sizeof(*stats))
    return POLLUX_EINVAL;
  pollux_worker_stats all{};
  fill(*instance, *instance->units[worker]->worker, all);
  all.size = size;
  std::memcpy(stats, &all, size);
  return POLLUX_OK;
}

}  // extern "C"
