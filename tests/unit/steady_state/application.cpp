#include "tests/unit/steady_state/application.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

namespace pollux::steady {
namespace {

constexpr std::uint64_t kDiskBytes = 64 * MiB;
constexpr std::uint32_t kBlockBytes = 512;

/// Not by the C library's function, which locks a line for the sake of pthread_cancel.
void rest() {
  const timespec time{.tv_sec = 0, .tv_nsec = 200'000};
  syscall(SYS_nanosleep, &time, nullptr);
}

}  // namespace

Application::Application(const std::string& wire, bool digests) {
  memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, kSlots * kLongBytes));
  std::fill_n(memory_, kSlots * kLongBytes, std::byte{0x33});
  open(wire);
  if (instance_ != nullptr) log_in(digests);
  if (session_ != 0) make_queue();
}

Application::~Application() {
  if (queue_ != nullptr)
    while (pollux_queue_destroy(queue_) == POLLUX_EBUSY) pollux_worker_poll(instance_, 0);
  if (session_ != 0) pollux_logout(instance_, session_, nullptr);
  while (region_ != nullptr && pollux_memory_unregister(region_) == POLLUX_EBUSY)
    pollux_worker_poll(instance_, 0);
  if (instance_ != nullptr) pollux_close(instance_);
  std::free(memory_);
}

void Application::open(const std::string& wire) {
  target::LabOptions options;
  options.target.luns = {
      {.kind = target::LunKind::null, .bytes = kDiskBytes, .block_bytes = kBlockBytes}};
  lab_.emplace(options);
  library::OpenSetup setup;
  setup.config.instance = "steady-" + wire + "-" + std::to_string(getpid());
  setup.config.memory.hugepages = false;
  setup.config.ports = {{.name = "wire",
                         .device = "ring:" + wire,
                         .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                                       .prefix_length = 24,
                                       .gateway = {}},
                         .mtu = 9000}};
  setup.poll_mode = POLLUX_POLL_EMBEDDER;
  setup.ring_ports = lab_->port_source();
  setup.ring_memory_mib = target::kLabMemoryMib;
  std::string error;
  if (library::open_instance(std::move(setup), instance_, error) != POLLUX_OK)
    ADD_FAILURE() << error;
}

void Application::log_in(bool digests) {
  const std::string mode = digests ? "crc32c" : "none";
  const std::string url = "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0?header_digest=" + mode +
                          "&data_digest=" + mode;
  pollux_error reason{};
  if (pollux_login(instance_, url.c_str(), nullptr, &session_, nullptr, &reason) != POLLUX_OK)
    ADD_FAILURE() << reason.message;
}

void Application::make_queue() {
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  options.depth = kSlots;
  options.lent_read_bytes_max = kLongBytes;
  pollux_error reason{};
  EXPECT_EQ(pollux_queue_create(instance_, &options, &queue_, &reason), POLLUX_OK)
      << reason.message;
  EXPECT_EQ(pollux_memory_register(instance_, memory_, kSlots * kLongBytes, &region_, &reason),
            POLLUX_OK)
      << reason.message;
}

std::uint32_t Application::submit(std::size_t slot, std::uint64_t number, const Work& work) {
  const Kind kind = work.kind == Kind::all ? static_cast<Kind>(number % 4) : work.kind;
  pollux_command command{};
  const bool is_read = kind == Kind::lent_read || kind == Kind::placed_read;
  command.opcode = is_read ? POLLUX_READ : POLLUX_WRITE;
  command.session = session_;
  command.length = work.long_ones && number % 64 < 4 ? kLongBytes : kShortBytes;
  command.block_count = command.length / kBlockBytes;
  command.lba = number * 128 % 100'000;
  command.context = reinterpret_cast<void*>(slot);
  iov_[slot] = {memory_ + slot * kLongBytes, command.length};
  if (kind == Kind::lent_read) {
    command.flags = POLLUX_LENT;
  } else {
    command.iov = &iov_[slot];
    command.iov_count = 1;
  }
  if (kind == Kind::registered_write) command.flags = POLLUX_REGISTERED;
  return pollux_queue_submit(queue_, &command, 1) == 1 ? command.length : 0;
}

void Application::hold_time() {
  if (!held_now_) held_now_ = instance_->clock->now();
}

std::size_t Application::turn() {
  constexpr Duration kTurn = std::chrono::microseconds(50);
  if (!held_now_) return static_cast<std::size_t>(pollux_worker_poll(instance_, 0));
  *held_now_ += kTurn;
  return instance_->units[0]->worker->poll_once(*held_now_);
}

Application::Done Application::run(const Work& work) {
  Done done;
  std::uint64_t submitted = 0;
  for (std::size_t slot = 0; slot < kSlots && submitted < work.commands; ++slot)
    done.bytes += submit(slot, submitted++, work);
  const auto least = std::chrono::duration_cast<Duration>(work.at_least);
  const Instant start = instance_->clock->now();
  while (done.commands < submitted || instance_->clock->now() < start + least) {
    if (turn() == 0 && work.rests) rest();
    std::array<pollux_completion, 16> completions;
    const int count = pollux_queue_reap(queue_, completions.data(), completions.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      ++done.commands;
      done.failed += completions[i].result != 0 || completions[i].scsi_status != 0;
      if (completions[i].lent != nullptr) pollux_release(completions[i].lent);
      if (submitted < work.commands)
        done.bytes +=
            submit(reinterpret_cast<std::uintptr_t>(completions[i].context), submitted++, work);
    }
  }
  return done;
}

CopyCounters Application::copies() const {
  const worker::Worker& worker = *instance_->units[0]->worker;
  const tcp::Counters& tcp = worker.engine(0).counters();
  const auto& port = static_cast<const platform::DpdkPort&>(*instance_->ports[0]->ring);
  return {.iscsi = worker.initiator().counters().copied_bytes.get(),
          .tcp = tcp.bytes_copied.get(),
          .linearised = port.counters().tx_linearised_bytes.get(),
          .sent_again = tcp.bytes_retransmitted.get()};
}

std::span<const std::byte> Application::snapshots() const {
  const pollux_worker_unit& unit = *instance_->units[0];
  return {unit.snapshot_area.get(), unit.snapshot_bytes};
}

}  // namespace pollux::steady
