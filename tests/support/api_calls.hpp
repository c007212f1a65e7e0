// Calls of the public API that tests make alike.
#pragma once

#include <gtest/gtest.h>
#include <pollux/pollux.h>
#include <sys/uio.h>

#include <cstdint>

namespace pollux::test {

inline pollux_queue_options queue_options(std::uint32_t worker = 0) {
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  options.worker = worker;
  return options;
}

/// nullptr, and a failed test, when it cannot be had.
inline pollux_queue* make_queue(pollux_instance* instance, const pollux_queue_options& options) {
  pollux_queue* queue = nullptr;
  pollux_error error{};
  EXPECT_EQ(pollux_queue_create(instance, &options, &queue, &error), POLLUX_OK) << error.message;
  return queue;
}

/// All of `iov`, which has to stay, from or to blocks of 512 bytes.
inline pollux_command transfer(std::uint8_t opcode, pollux_session_id session, std::uint64_t lba,
                               const iovec& iov, std::uint8_t flags = 0) {
  pollux_command command{};
  command.opcode = opcode;
  command.flags = flags;
  command.session = session;
  command.lba = lba;
  command.iov = &iov;
  command.iov_count = 1;
  command.length = static_cast<std::uint32_t>(iov.iov_len);
  command.block_count = command.length / 512;
  return command;
}

}  // namespace pollux::test
