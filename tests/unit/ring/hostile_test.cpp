// Clients that break every rule of the ring through their own mapping: the service lives, other
// clients notice nothing.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <random>

#include "control/client/connect.hpp"
#include "tests/unit/ring/echo_service.hpp"

namespace pollux::ring::testing {
namespace {

class HostileTest : public RingTest {
 protected:
  client::Connection raw() {
    auto connection = client::connect({.socket_path = options_.socket_path,
                                       .instance = "",
                                       .arena_bytes = 65536,
                                       .command_slots = 16,
                                       .completion_slots = 16,
                                       .connect_ms = 2000});
    EXPECT_TRUE(connection.is_ok()) << connection.error().message;
    return std::move(connection).value();
  }
  static pollux_ring_header& header(client::Connection& connection) {
    return *reinterpret_cast<pollux_ring_header*>(connection.region.get());
  }
  static void ring(client::Connection& connection) {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(connection.doorbell.get(), &one, sizeof one));
  }
  static void put(client::Connection& connection, std::uint64_t position,
                  const pollux_ring_command& command) {
    std::memcpy(connection.region.get() + connection.reply.geometry.commands_offset +
                    (position & 15) * sizeof command,
                &command, sizeof command);
  }
  static void publish(client::Connection& connection, std::uint64_t tail) {
    std::atomic_ref(header(connection).submit_tail.value).store(tail);
    ring(connection);
  }
  /// Submits at `position` (from 0 on, one at a time) and returns the completion.
  pollux_ring_completion run(client::Connection& connection, std::uint64_t position,
                             const pollux_ring_command& command) {
    put(connection, position, command);
    publish(connection, position + 1);
    EXPECT_TRUE(eventually([&] {
      return std::atomic_ref(header(connection).complete_tail.value).load() == position + 1;
    }));
    pollux_ring_completion completion;
    std::memcpy(&completion,
                connection.region.get() + connection.reply.geometry.completions_offset +
                    (position & 15) * sizeof completion,
                sizeof completion);
    std::atomic_ref(header(connection).complete_head.value).store(position + 1);
    return completion;
  }
  bool is_hung_up(client::Connection& connection) {
    return eventually([&] {
      char byte = 0;
      return ::recv(connection.socket.get(), &byte, 1, MSG_DONTWAIT) == 0;
    });
  }
};

TEST_F(HostileTest, EveryMalformedCommandGetsItsVerdictAndTheChannelGoesOn) {
  start();
  client::Connection connection = raw();
  const std::uint64_t arena = connection.reply.geometry.arena_bytes;
  std::uint64_t position = 0;
  const auto verdict = [&](auto change) {
    pollux_ring_command command{};
    command.opcode = kEcho;
    command.tag = position;
    change(command);
    const pollux_ring_completion completion = run(connection, position++, command);
    EXPECT_EQ(completion.tag, command.tag);
    return completion.status;
  };
  using Command = pollux_ring_command;
  const auto bad_command = static_cast<std::uint32_t>(POLLUX_RING_BAD_COMMAND);
  const auto bad_extent = static_cast<std::uint32_t>(POLLUX_RING_BAD_EXTENT);
  EXPECT_EQ(verdict([](Command&) {}), static_cast<std::uint32_t>(POLLUX_RING_OK));
  EXPECT_EQ(verdict([](Command& c) { c.flags = 1; }), bad_command);
  EXPECT_EQ(verdict([](Command& c) { c.reserved0 = 1; }), bad_command);
  EXPECT_EQ(verdict([](Command& c) { c.reserved1 = 1; }), bad_command);
  EXPECT_EQ(verdict([](Command& c) { c.argument = 1; }), bad_command);
  EXPECT_EQ(verdict([&](Command& c) { c.input_offset = arena - 8, c.input_bytes = 9; }),
            bad_extent);
  EXPECT_EQ(verdict([](Command& c) { c.input_offset = 4, c.input_bytes = 4; }), bad_extent);
  EXPECT_EQ(verdict([](Command& c) { c.output_offset = UINT64_MAX - 7, c.output_bytes = 16; }),
            bad_extent);
  EXPECT_EQ(verdict([](Command& c) { c.output_offset = UINT64_MAX; }), bad_extent);
  EXPECT_EQ(verdict([](Command& c) { c.output_bytes = UINT32_MAX; }), bad_extent);
  EXPECT_EQ(verdict([&](Command& c) {
              c.input_bytes = static_cast<std::uint32_t>(arena), c.opcode = kLook;
            }),
            static_cast<std::uint32_t>(POLLUX_RING_OUTPUT_TOO_SMALL));
  EXPECT_EQ(verdict([](Command& c) { c.opcode = 0; }),
            static_cast<std::uint32_t>(POLLUX_RING_UNKNOWN_OPCODE));
  EXPECT_EQ(verdict([](Command& c) { c.opcode = POLLUX_RING_OP_CANCEL, c.argument = 12345; }),
            static_cast<std::uint32_t>(POLLUX_RING_TAG_NOT_FOUND));
}

TEST_F(HostileTest, OverlappingInputsCannotPileUpInTheService) {
  start();
  client::Connection connection = raw();
  pollux_ring_command hold{};
  hold.opcode = kHold;
  hold.input_bytes = 65536;
  put(connection, 0, hold);
  put(connection, 1, hold);
  publish(connection, 2);
  EXPECT_TRUE(eventually(
      [&] { return std::atomic_ref(header(connection).complete_tail.value).load() == 1; }));
  pollux_ring_completion completion;
  std::memcpy(&completion, connection.region.get() + connection.reply.geometry.completions_offset,
              sizeof completion);
  EXPECT_EQ(completion.status, static_cast<std::uint32_t>(POLLUX_RING_BUSY));
}

TEST_F(HostileTest, PositionsThatCannotBeRightCloseTheChannelAlone) {
  start();
  pollux_client* honest = open();
  for (const std::uint64_t tail : {std::uint64_t{17}, UINT64_MAX, std::uint64_t{1} << 63}) {
    client::Connection connection = raw();
    publish(connection, tail);
    EXPECT_TRUE(is_hung_up(connection)) << tail;
  }
  for (const std::uint64_t head : {std::uint64_t{1}, UINT64_MAX}) {
    client::Connection connection = raw();
    std::atomic_ref(header(connection).complete_head.value).store(head);
    ring(connection);
    EXPECT_TRUE(is_hung_up(connection)) << head;
  }
  EXPECT_EQ(service_->seen().counters.channels_broken, 5u);
  EXPECT_TRUE(echoes(honest, 1000, 1));
  pollux_client_close(honest);
}

TEST_F(HostileTest, AClientThatDoesNotReapWaitsAlone) {
  start();
  pollux_client* honest = open();
  client::Connection connection = raw();
  pollux_ring_command echo{};
  echo.opcode = kEcho;
  for (std::uint64_t position = 0; position < 32; ++position) put(connection, position, echo);
  publish(connection, 16);
  EXPECT_TRUE(eventually(
      [&] { return std::atomic_ref(header(connection).complete_tail.value).load() == 16; }));
  publish(connection, 32);
  EXPECT_TRUE(echoes(honest, 1000, 1));
  EXPECT_EQ(std::atomic_ref(header(connection).submit_head.value).load(), 16u);
  std::atomic_ref(header(connection).complete_head.value).store(4);
  ring(connection);
  EXPECT_TRUE(eventually(
      [&] { return std::atomic_ref(header(connection).complete_tail.value).load() == 20; }));
  EXPECT_EQ(std::atomic_ref(header(connection).submit_head.value).load(), 20u);
  pollux_client_close(honest);
}

TEST_F(HostileTest, AFloodFromOneClientDoesNotStarveAnother) {
  start();
  pollux_client* honest = open();
  std::atomic<bool> is_stopping{false};
  std::thread flooder([&] {
    pollux_client* client = open(512);
    pollux_client_command nop{};
    nop.size = sizeof nop;
    nop.opcode = POLLUX_RING_OP_NOP;
    while (!is_stopping) {
      while (pollux_client_submit(client, &nop, nullptr) == 0) {
      }
      pollux_client_completion completions[64];
      pollux_client_reap(client, completions, 64);
    }
    pollux_client_close(client);
  });
  for (unsigned round = 0; round < 100; ++round) EXPECT_TRUE(echoes(honest, 100, round));
  is_stopping = true;
  flooder.join();
  pollux_client_close(honest);
}

TEST_F(HostileTest, ADoorbellMadeBlockingAndFilledStopsNobody) {
  start();
  pollux_client* honest = open();
  client::Connection connection = raw();
  // O_NONBLOCK belongs to the open file, which the service shares: a service that read or wrote
  // this eventfd would now hang.
  ::fcntl(connection.doorbell.get(), F_SETFL,
          ::fcntl(connection.doorbell.get(), F_GETFL) & ~O_NONBLOCK);
  const std::uint64_t most = UINT64_MAX - 1;
  ASSERT_EQ(::write(connection.doorbell.get(), &most, sizeof most), ssize_t{sizeof most});
  EXPECT_TRUE(echoes(honest, 100, 1));
  // And a client that always asks to be rung and never listens.
  for (std::uint64_t position = 0; position < 100; ++position) {
    std::atomic_ref(header(connection).client_needs_wakeup.value).store(1);
    pollux_ring_command echo{};
    echo.opcode = kEcho;
    put(connection, position, echo);
    std::atomic_ref(header(connection).submit_tail.value).store(position + 1);
    ASSERT_TRUE(eventually([&] {
      return std::atomic_ref(header(connection).complete_tail.value).load() == position + 1;
    }));
    std::atomic_ref(header(connection).complete_head.value).store(position + 1);
  }
  EXPECT_TRUE(echoes(honest, 100, 2));
  pollux_client_close(honest);
}

TEST_F(HostileTest, TheRegionCannotBeResizedOrUnsealed) {
  start();
  client::Connection connection = raw();
  const auto is_descriptor_open = [] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const auto target = std::filesystem::read_symlink(entry.path(), error).string();
      if (target.find("memfd:pollux-ring") != std::string::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(eventually([&] { return !is_descriptor_open(); })) << "neither side keeps it";
  // The mapping itself names the file.
  std::string link;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/map_files")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry.path(), error).string().find("memfd:pollux-ring") !=
        std::string::npos) {
      link = entry.path().string();
    }
  }
  const int again = ::open(link.c_str(), O_RDWR | O_CLOEXEC);
  if (again < 0) GTEST_SKIP() << "map_files needs root";
  EXPECT_EQ(::fcntl(again, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(::ftruncate(again, 4096), 0);
  ::close(again);
}

TEST_F(HostileTest, RandomGarbageEverywhereHarmsNobody) {
  start();
  pollux_client* honest = open();
  std::mt19937_64 random(20260731);
  for (int round = 0; round < 60; ++round) {
    client::Connection connection = raw();
    const std::size_t bytes = static_cast<std::size_t>(connection.reply.geometry.arena_offset);
    for (int burst = 0; burst < 20; ++burst) {
      // Whole words anywhere before the arena: magic, geometry, positions, flags, entries.
      for (int word = 0; word < 64; ++word) {
        const std::uint64_t offset = random() % (bytes / 8) * 8;
        const std::uint64_t value = random() % 3 == 0 ? random() : random() % 64;
        auto* place = reinterpret_cast<std::uint64_t*>(connection.region.get() + offset);
        std::atomic_ref(*place).store(value, std::memory_order_relaxed);
      }
      ring(connection);
      if (burst % 5 == 0) {
        // Keep the positions plausible so that the entries are looked at as well.
        const std::uint64_t head = std::atomic_ref(header(connection).submit_head.value).load();
        std::atomic_ref(header(connection).submit_tail.value).store(head + random() % 17);
      }
    }
    EXPECT_TRUE(echoes(honest, 500, static_cast<unsigned>(round)));
  }
  pollux_client_close(honest);
  EXPECT_TRUE(eventually([&] { return service_->seen().clients == 0; }));
}

int connect_raw(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::uint32_t refusal_of(int fd) {
  pollux_ring_reply reply{};
  EXPECT_EQ(::recv(fd, &reply, sizeof reply, 0), ssize_t{sizeof reply});
  EXPECT_GT(std::strlen(reply.sentence), 10u);
  ::close(fd);
  return reply.result;
}

TEST_F(HostileTest, HellosThatAreNoneAreRefusedInWords) {
  start();
  pollux_client* honest = open();
  int fd = connect_raw(options_.socket_path);
  ASSERT_EQ(::send(fd, "GET / HTTP/1.1", 14, 0), 14);
  EXPECT_EQ(refusal_of(fd), static_cast<std::uint32_t>(POLLUX_RING_REFUSED_HELLO));
  pollux_ring_hello hello{};
  hello.magic = POLLUX_RING_MAGIC;
  hello.version = hello.version_oldest = POLLUX_RING_VERSION + 1;
  fd = connect_raw(options_.socket_path);
  ASSERT_GT(::send(fd, &hello, sizeof hello, 0), 0);
  EXPECT_EQ(refusal_of(fd), static_cast<std::uint32_t>(POLLUX_RING_REFUSED_VERSION));
  fd = connect_raw(options_.socket_path);  // says nothing
  EXPECT_EQ(refusal_of(fd), static_cast<std::uint32_t>(POLLUX_RING_REFUSED_TIMEOUT));
  EXPECT_TRUE(echoes(honest, 100, 1));
  pollux_client_close(honest);
}

TEST_F(HostileTest, AMessageAfterTheHandshakeEndsTheChannel) {
  start();
  client::Connection connection = raw();
  ASSERT_EQ(::send(connection.socket.get(), "x", 1, 0), 1);
  EXPECT_TRUE(is_hung_up(connection));
}

TEST_F(HostileTest, TheMemoryStaysUntilTheCommandsOfAGoneClientEnded) {
  start();
  service_->end_held_when_gone(false);
  {
    client::Connection connection = raw();
    pollux_ring_command hold{};
    hold.opcode = kHold;
    put(connection, 0, hold);
    publish(connection, 1);
    EXPECT_TRUE(eventually([&] { return service_->seen().held == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return service_->seen().gone == 1; }));
  EXPECT_EQ(service_->seen().clients, 1u) << "its mapping is still there";
  service_->end_held_when_gone(true);
  EXPECT_TRUE(eventually([&] { return service_->seen().clients == 0; }));
}

}  // namespace
}  // namespace pollux::ring::testing
