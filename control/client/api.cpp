// The C functions of client.h. Nothing throws past here: what may run out of memory is caught at
// the edge and becomes POLLUX_ENOMEM.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "control/client/client.hpp"
#include "control/ring/isdsc.hpp"
#include "control/ring/socket_path.hpp"
#include "control/ring/text.hpp"
#include "pollux/client.h"

struct pollux_client {
  pollux::client::Client channel;
};

namespace {

constexpr std::uint32_t kConnectMsDefault = 5000;
constexpr std::uint32_t kSpinUsDefault = 50;

void explain(char* reason, std::size_t reason_bytes, std::string_view sentence) noexcept {
  if (reason == nullptr || reason_bytes == 0) return;
  const std::size_t count = std::min(sentence.size(), reason_bytes - 1);
  std::memcpy(reason, sentence.data(), count);
  reason[count] = '\0';
}

pollux::Result<std::unique_ptr<pollux_client>> open_client(const pollux_client_options& options) {
  pollux::client::ConnectOptions connect_options{
      .socket_path = options.socket_path == nullptr ? "" : options.socket_path,
      .instance = options.instance == nullptr ? std::string(pollux::ring::kDefaultInstance)
                                              : std::string(options.instance),
      .arena_bytes = options.arena_bytes,
      .command_slots = options.command_slots,
      .completion_slots = options.completion_slots,
      .connect_ms = options.connect_ms};
  auto connection = pollux::client::connect(connect_options);
  if (!connection) return connection.error();
  return std::unique_ptr<pollux_client>(
      new pollux_client{pollux::client::Client(std::move(*connection), options.spin_us)});
}

// An older program's structure is shorter: what it does not have keeps its default.
bool take_options(const pollux_client_options* given, pollux_client_options& options) noexcept {
  pollux_client_options_init(&options);
  if (given == nullptr) return true;
  constexpr std::size_t kSmallest = offsetof(pollux_client_options, arena_bytes);
  if (given->size < kSmallest || given->size > sizeof options) return false;
  std::memcpy(&options, given, given->size);
  options.size = sizeof options;
  return std::all_of(std::begin(options.reserved), std::end(options.reserved),
                     [](std::uint64_t word) { return word == 0; });
}

bool is_command(const pollux_client_command& command) noexcept {
  return (command.input != nullptr || command.input_bytes == 0) &&
         (command.output != nullptr || command.output_bytes == 0);
}

}  // namespace

extern "C" {

void pollux_client_options_init(pollux_client_options* options) noexcept {
  if (options == nullptr) return;
  *options = {};
  options->size = sizeof *options;
  options->connect_ms = kConnectMsDefault;
  options->spin_us = kSpinUsDefault;
}

int pollux_client_open(const pollux_client_options* options, pollux_client** client, char* reason,
                       size_t reason_bytes) noexcept {
  explain(reason, reason_bytes, "");
  if (client == nullptr) return POLLUX_EINVAL;
  *client = nullptr;
  pollux_client_options taken;
  if (!take_options(options, taken)) {
    explain(reason, reason_bytes, "the options were not made by pollux_client_options_init");
    return POLLUX_EINVAL;
  }
  try {
    auto opened = open_client(taken);
    if (!opened) {
      explain(reason, reason_bytes, opened.error().message);
      return opened.error().code;
    }
    *client = opened->release();
    return 0;
  } catch (const std::exception&) {
    explain(reason, reason_bytes, "no memory is left for a channel");
    return POLLUX_ENOMEM;
  }
}

void pollux_client_close(pollux_client* client) noexcept { delete client; }

int pollux_client_info_get(const pollux_client* client, pollux_client_info* info) noexcept {
  if (client == nullptr || info == nullptr || info->size < sizeof *info) return POLLUX_EINVAL;
  const pollux_ring_reply& channel = client->channel.channel();
  *info = {.size = sizeof *info,
           .features = channel.features,
           .arena_bytes = channel.geometry.arena_bytes,
           .version = channel.version,
           .access = channel.access,
           .command_slots = channel.geometry.command_slots,
           .completion_slots = channel.geometry.completion_slots,
           .input_bytes_max = channel.input_bytes_max,
           .service_pid = channel.service_pid};
  return 0;
}

int pollux_client_submit(pollux_client* client, const pollux_client_command* command,
                         uint64_t* tag) noexcept {
  if (client == nullptr || command == nullptr || command->size < sizeof *command ||
      !is_command(*command)) {
    return POLLUX_EINVAL;
  }
  return client->channel.submit(*command, tag);
}

int pollux_client_reap(pollux_client* client, pollux_client_completion* completions,
                       uint32_t capacity) noexcept {
  if (client == nullptr || (completions == nullptr && capacity > 0)) return POLLUX_EINVAL;
  return client->channel.reap(completions, capacity);
}

int pollux_client_wait(pollux_client* client, uint32_t timeout_ms) noexcept {
  return client == nullptr ? POLLUX_EINVAL : client->channel.wait(timeout_ms);
}

int pollux_client_cancel(pollux_client* client, uint64_t tag) noexcept {
  return client == nullptr ? POLLUX_EINVAL : client->channel.cancel(tag);
}

int pollux_client_call(pollux_client* client, uint32_t opcode, const void* in, size_t in_len,
                       void* out, size_t out_cap, size_t* out_len, uint32_t deadline_ms) noexcept {
  if (out_len != nullptr) *out_len = 0;
  if (client == nullptr) return POLLUX_EINVAL;
  if (in_len > UINT32_MAX || out_cap > UINT32_MAX) return POLLUX_ETOOLARGE;
  pollux_client_command command{};
  command.size = sizeof command;
  command.opcode = opcode;
  command.deadline_ms = deadline_ms == 0 ? POLLUX_CLIENT_DEADLINE_DEFAULT_MS : deadline_ms;
  command.input = in;
  command.input_bytes = static_cast<uint32_t>(in_len);
  command.output = out;
  command.output_bytes = static_cast<uint32_t>(out_cap);
  if (!is_command(command)) return POLLUX_EINVAL;
  return client->channel.call(command, out_len);
}

int pollux_client_fd(const pollux_client* client) noexcept {
  return client == nullptr ? POLLUX_EINVAL : client->channel.fd();
}

int pollux_client_arm(pollux_client* client) noexcept {
  return client == nullptr ? POLLUX_EINVAL : client->channel.arm();
}

const char* pollux_isdsc_name(uint32_t status) noexcept { return pollux::ring::isdsc_name(status); }
const char* pollux_isdsc_text(uint32_t status) noexcept { return pollux::ring::isdsc_text(status); }

int pollux_text_encode(uint16_t* field, size_t elements, const char* utf8) noexcept {
  if (field == nullptr || utf8 == nullptr || elements == 0) return POLLUX_EINVAL;
  const auto units = pollux::ring::encode_text({field, elements}, utf8);
  return units ? static_cast<int>(*units) : POLLUX_EINVAL;
}

int pollux_text_decode(const uint16_t* field, size_t elements, char* utf8,
                       size_t capacity) noexcept {
  if (field == nullptr || utf8 == nullptr || elements == 0 || capacity == 0) return POLLUX_EINVAL;
  utf8[0] = '\0';
  const auto decoded = pollux::ring::decode_text_into({field, elements}, {utf8, capacity - 1});
  if (!decoded.is_valid || decoded.bytes >= capacity) {
    utf8[0] = '\0';
    return decoded.is_valid ? POLLUX_ETOOSMALL : POLLUX_EINVAL;
  }
  utf8[decoded.bytes] = '\0';
  return static_cast<int>(decoded.bytes);
}

}  // extern "C"
