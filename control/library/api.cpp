// The calls of pollux.h that open, log in, register and ask: each may block, allocate and format
// text.
#include <fmt/format.h>
#include <pollux/iscsierr.h>
#include <pollux/pollux.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <thread>

#include "control/library/instance.hpp"
#include "control/url/iscsi_url.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/external_memory.hpp"

namespace {

using namespace pollux;

int report(pollux_error* error, int code, std::string_view message, std::uint32_t status = 0) {
  if (error == nullptr) return code;
  error->code = code;
  error->status = status;
  const std::size_t length = std::min(message.size(), sizeof(error->message) - 1);
  std::memcpy(error->message, message.data(), length);
  error->message[length] = '\0';
  return code;
}

/// The error code that fits an ISDSC status; callers who want to know more read
/// pollux_error::status.
int code_of(std::uint32_t status) {
  switch (status) {
    case 0:
      return POLLUX_OK;
    case ISDSC_INVALID_SESSION_ID:
      return POLLUX_ENOSESSION;
    case ISDSC_CONNECTION_FAILED:
      return POLLUX_ECONNECT;
    default:
      return POLLUX_ELOGIN;
  }
}

std::optional<session::Digest> digest_of(const std::optional<url::Digest>& digest) {
  if (!digest) return std::nullopt;
  return *digest == url::Digest::crc32c ? session::Digest::crc32c : session::Digest::none;
}

bool is_registered(const pollux_instance& instance, const iovec& piece) {
  return instance.lies_in_region(piece);
}

std::optional<service::Config> read_config(const pollux_options& options, std::string& error) {
  if (options.config_path != nullptr) return service::load_config(options.config_path, error);
  return service::parse_config(options.config_text != nullptr ? options.config_text : "",
                               "configuration", error);
}

}  // namespace

extern "C" {

void pollux_options_init(pollux_options* options) {
  *options = {};
  options->size = sizeof(*options);
}

void pollux_login_options_init(pollux_login_options* options) {
  *options = {};
  options->size = sizeof(*options);
}

void pollux_queue_options_init(pollux_queue_options* options) {
  *options = {};
  options->size = sizeof(*options);
}

int pollux_open(const pollux_options* options, pollux_instance** instance, pollux_error* error) {
  if (options == nullptr || instance == nullptr || options->size != sizeof(pollux_options))
    return report(error, POLLUX_EINVAL,
                  "pollux_open: call pollux_options_init() before setting options");
  std::string message;
  std::optional<service::Config> config = read_config(*options, message);
  if (!config || !service::validate_config(*config, "configuration", message))
    return report(error, POLLUX_ECONFIG, message);
  library::OpenSetup setup;
  setup.config = std::move(*config);
  setup.poll_mode =
      options->poll_mode == POLLUX_POLL_EMBEDDER ? POLLUX_POLL_EMBEDDER : POLLUX_POLL_LIBRARY;
  setup.open_ring = options->open_ring != 0;
  setup.log = options->log;
  setup.log_context = options->log_context;
  const int result = library::open_instance(std::move(setup), *instance, message);
  return result == POLLUX_OK ? POLLUX_OK : report(error, result, message);
}

void pollux_close(pollux_instance* instance) { delete instance; }

std::uint32_t pollux_worker_count(const pollux_instance* instance) {
  return static_cast<std::uint32_t>(instance->units.size());
}

int pollux_worker_poll(pollux_instance* instance, std::uint32_t worker) {
  if (worker >= instance->units.size() || instance->setup.poll_mode != POLLUX_POLL_EMBEDDER)
    return POLLUX_EINVAL;
  pollux_worker_unit& unit = *instance->units[worker];
  // One turn at a time, whoever asks: a blocking call takes over when nobody else turns the worker
  // (pollux_instance::wait_for). Uncontended this costs some 20 cycles a turn.
  if (unit.in_turn.exchange(true, std::memory_order_acquire)) return 0;
  if (unit.poller.load(std::memory_order_relaxed) != std::this_thread::get_id())
    unit.poller.store(std::this_thread::get_id(), std::memory_order_relaxed);
  if (!unit.registered_with_dpdk) {
    // Once, on the thread that polls from now on. Without it the pools work, only without a cache.
    std::string ignored;
    (void)platform::register_worker_thread(ignored);
    unit.registered_with_dpdk = true;
  }
  const std::uint64_t cycles = platform::TscClock::cycles();
  const std::size_t work =
      unit.worker->poll_counted(instance->clock->at(cycles), cycles, &platform::TscClock::cycles);
  unit.in_turn.store(false, std::memory_order_release);
  return static_cast<int>(work);
}

std::int64_t pollux_worker_idle_ns(pollux_instance* instance, std::uint32_t worker) {
  if (worker >= instance->units.size() || instance->setup.poll_mode != POLLUX_POLL_EMBEDDER)
    return POLLUX_EINVAL;
  const worker::Worker& source = *instance->units[worker]->worker;
  if (source.awaits_frames()) return 0;
  const Instant deadline = source.next_deadline();
  if (deadline == kNever) return std::numeric_limits<std::int64_t>::max();
  return std::max(deadline - instance->clock->now(), Duration::zero()).count();
}

int pollux_login(pollux_instance* instance, const char* url, const pollux_login_options* options,
                 pollux_session_id* session, std::uint64_t* lun, pollux_error* error) {
  const auto parsed = url::parse_url(url);
  if (!parsed) return report(error, POLLUX_EINVAL, parsed.error().message);
  if (parsed->target.empty())
    return report(error, POLLUX_EINVAL,
                  fmt::format("{} names no target: iscsi://host[:port]/target[/lun]", url));

  service::LoginRequest request;
  request.worker = options != nullptr ? options->worker : 0;
  if (request.worker >= instance->units.size())
    return report(error, POLLUX_EINVAL,
                  fmt::format("there is no worker {}: the instance has {}", request.worker,
                              instance->units.size()));
  request.portal = {
      .host = parsed->portal.host, .port = parsed->portal.port, .portal_group_tag = std::nullopt};
  request.target_name = parsed->target;
  request.allows_several = true;
  request.offer = service::make_offer(instance->setup.config.login);
  if (const auto digest = digest_of(parsed->header_digest)) request.offer.header_digest = {*digest};
  if (const auto digest = digest_of(parsed->data_digest)) request.offer.data_digest = {*digest};
  if (options != nullptr && options->timeout_ms != 0)
    request.timeout = std::chrono::milliseconds(options->timeout_ms);

  service::LoginReply reply;
  const bool served = instance->wait_for([&](const std::function<void()>& finished) {
    instance->service->sessions().login(request, instance->clock->now(),
                                        [&reply, finished](const service::LoginReply& answer) {
                                          reply = answer;
                                          finished();
                                        });
  });
  if (!served) return report(error, POLLUX_ESERVICE, "the instance is closing");
  if (!reply.is_ok()) return report(error, code_of(reply.status), reply.sentence, reply.status);
  *session = reply.session_id;
  if (lun != nullptr) *lun = parsed->lun.value_or(0);
  return POLLUX_OK;
}

int pollux_logout(pollux_instance* instance, pollux_session_id session, pollux_error* error) {
  service::Outcome outcome;
  const bool served = instance->wait_for([&](const std::function<void()>& finished) {
    instance->service->sessions().logout(session, instance->clock->now(),
                                         [&outcome, finished](const service::Outcome& answer) {
                                           outcome = answer;
                                           finished();
                                         });
  });
  if (!served) return report(error, POLLUX_ESERVICE, "the instance is closing");
  return outcome.is_ok() ? POLLUX_OK
                         : report(error, code_of(outcome.status), outcome.sentence, outcome.status);
}

int pollux_capacity(pollux_instance* instance, pollux_session_id session, std::uint64_t lun,
                    std::uint64_t* block_count, std::uint32_t* block_bytes, pollux_error* error) {
  service::Outcome outcome;
  std::optional<service::Operations::Capacity> capacity;
  const bool served = instance->wait_for([&](const std::function<void()>& finished) {
    instance->service->operations().read_capacity(
        session, lun,
        [&, finished](const service::Outcome& answer,
                      std::optional<service::Operations::Capacity> found) {
          outcome = answer;
          capacity = found;
          finished();
        });
  });
  if (!served) return report(error, POLLUX_ESERVICE, "the instance is closing");
  if (!outcome.is_ok() || !capacity) {
    const int code =
        outcome.status == ISDSC_INVALID_SESSION_ID ? POLLUX_ENOSESSION : POLLUX_ETARGET;
    return report(error, code, outcome.sentence, outcome.status);
  }
  *block_count = capacity->blocks;
  *block_bytes = capacity->block_bytes;
  return POLLUX_OK;
}

int pollux_memory_register(pollux_instance* instance, void* base, std::size_t length,
                           pollux_region** region, pollux_error* error) {
  const std::scoped_lock lock(instance->regions_mutex);
  const auto region_slot =
      std::find_if(instance->regions.begin(), instance->regions.end(),
                   [](const pollux_region& slot) { return slot.end == nullptr; });
  if (region_slot == instance->regions.end())
    return report(error, POLLUX_ENOMEM,
                  fmt::format("{} pieces of memory are registered already, which is the most",
                              instance->regions.size()));
  std::string message;
  if (!platform::register_external_memory(base, length, message))
    return report(error, POLLUX_EINVAL, message);
  auto* const begin = static_cast<std::byte*>(base);
  region_slot->instance = instance;
  region_slot->begin.store(begin, std::memory_order_relaxed);
  // Pairs with the acquire load in lies_in_region().
  region_slot->end.store(begin + length, std::memory_order_release);
  *region = &*region_slot;
  return POLLUX_OK;
}

int pollux_memory_unregister(pollux_region* region) {
  pollux_instance& instance = *region->instance;
  const std::scoped_lock lock(instance.regions_mutex);
  if (instance.registered_memory_in_use()) return POLLUX_EBUSY;
  std::byte* const begin = region->begin;
  const auto length = static_cast<std::size_t>(region->end - begin);
  region->end.store(nullptr, std::memory_order_relaxed);
  platform::unregister_external_memory(begin, length);
  return POLLUX_OK;
}

int pollux_queue_create(pollux_instance* instance, const pollux_queue_options* options,
                        pollux_queue** queue, pollux_error* error) {
  constexpr std::uint32_t kDepthDefault = 128;
  constexpr std::uint32_t kDepthMax = 4096;
  constexpr std::uint32_t kViewBytesLeast =
      512;  // smaller pieces make the read fail with POLLUX_EAGAIN
  constexpr std::uint64_t kViewsMax = 1u << 23;  // of one queue: some 200 MiB
  const std::uint32_t depth = options->depth == 0 ? kDepthDefault : options->depth;
  if (options->size != sizeof(*options) || depth > kDepthMax || (depth & (depth - 1)) != 0 ||
      options->worker >= instance->units.size() ||
      options->lent_read_bytes_max > iscsi::kTransferBytesMax) {
    return report(
        error, POLLUX_EINVAL,
        fmt::format(
            "pollux_queue_create: depth is a power of two up to {}, worker below {}, lent reads up "
            "to {} bytes; call pollux_queue_options_init() first",
            kDepthMax, instance->units.size(), iscsi::kTransferBytesMax));
  }
  const std::uint32_t views =
      options->lent_read_bytes_max == 0 ? 0 : options->lent_read_bytes_max / kViewBytesLeast + 8;
  if (std::uint64_t{views} * depth > kViewsMax)
    return report(error, POLLUX_ENOMEM,
                  fmt::format("lent reads of {} bytes are too large for a queue of depth {}",
                              options->lent_read_bytes_max, depth));
  auto created = std::make_unique<pollux_queue>(depth, views);
  created->instance = instance;
  created->is_registered = &is_registered;
  created->worker = options->worker;
  created->lent_read_bytes_max = options->lent_read_bytes_max;
  if (instance->workers_may_nap())
    created->nap_bell = &instance->units[options->worker]->link.nap_bell;
  {
    const std::scoped_lock lock(instance->queues_mutex);
    const auto of_worker =
        std::count_if(instance->queues.begin(), instance->queues.end(),
                      [&](const pollux_queue* other) { return other->worker == options->worker; });
    if (static_cast<std::size_t>(of_worker) >= iscsi::kQueuesMax)
      return report(error, POLLUX_ENOMEM,
                    fmt::format("worker {} has its {} queues: destroy one first", options->worker,
                                iscsi::kQueuesMax));
    instance->queues.push_back(created.get());
  }
  // The worker gets to know the queue in a moment; what is submitted meanwhile waits in its ring.
  worker::CommandQueue* rings = &created->rings;
  const std::uint32_t worker = options->worker;
  if (instance->service->on_control_thread()) {
    instance->service->attach_queue(worker, rings);
  } else if (!instance->service->post(
                 [instance, worker, rings] { instance->service->attach_queue(worker, rings); })) {
    const std::scoped_lock lock(instance->queues_mutex);
    std::erase(instance->queues, created.get());
    return report(error, POLLUX_ESERVICE, "the instance is closing");
  }
  *queue = created.release();
  return POLLUX_OK;
}

int pollux_queue_destroy(pollux_queue* queue) {
  if (queue->rings.in_flight != 0 || queue->lent_out.load(std::memory_order_acquire) != 0)
    return POLLUX_EBUSY;
  pollux_instance& instance = *queue->instance;
  // The queue counts until its worker has let go of it: see the limit in pollux_queue_create().
  const auto forget = [&instance, queue] {
    {
      const std::scoped_lock lock(instance.queues_mutex);
      std::erase(instance.queues, queue);
    }
    delete queue;
  };
  if (instance.service->on_control_thread()) {
    instance.service->detach_queue(queue->worker, &queue->rings, forget);
    return POLLUX_OK;
  }
  const bool served = instance.wait_for([&](const std::function<void()>& finished) {
    instance.service->detach_queue(queue->worker, &queue->rings, finished);
  });
  // Without a control thread the workers have stopped: nobody else looks at the queue.
  (void)served;
  forget();
  return POLLUX_OK;
}

}  // extern "C"
