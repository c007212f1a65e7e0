// A service for the CLI's tests: the real ring with a scripted service behind it (one RAM-disk LUN,
// made up sessions, targets whose names say how their login ends), and the real program as a child
// process.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "control/ring/server.hpp"
#include "pollux/operations.h"

namespace pollux::cli::testing {

inline constexpr const char* kTarget = "iqn.2003-01.org.example:disk";
inline constexpr std::uint32_t kBlockBytes = 512;
inline constexpr std::uint32_t kBlocks = 8192;
inline constexpr std::uint64_t kFirstSession = 0x5e1f000000000001;

/// Target names that end in these words end a login in that way.
inline constexpr const char* kMissing = "iqn.2003-01.org.example:missing";
inline constexpr const char* kForbidden = "iqn.2003-01.org.example:forbidden";
inline constexpr const char* kBroken = "iqn.2003-01.org.example:broken";
inline constexpr const char* kTwice = "iqn.2003-01.org.example:twice";
/// Portal ports likewise.
inline constexpr std::uint16_t kRefusedPort = 1;
inline constexpr std::uint16_t kSilentPort = 2;
/// A session whose target fails every logout.
inline constexpr const char* kSticky = "iqn.2003-01.org.example:sticky";

struct FakeSession {
  std::uint64_t id = 0;
  std::string target;
  std::uint32_t type = ISCSI_SESSION_DATA;
  std::uint32_t ipv4 = 0;  ///< network byte order
  std::uint16_t port = 0;
  bool header_digest = false;
};

class FakeService final : private ring::Handler {
 public:
  explicit FakeService(const std::string& socket_path);
  ~FakeService() override;

  /// Look at these two only after stop().
  std::vector<FakeSession> sessions;
  std::vector<std::byte> disk;
  std::atomic<bool> never_ends_io = false;  ///< reads, writes and benchmarks stay until cancelled
  std::atomic<bool> dies_on_io = false;     ///< ends the service when a read arrives
  std::atomic<std::uint32_t> dies_at_stats = 0;  ///< ends the service at the so many-th; 0: never
  std::atomic<std::uint32_t> read_fails_at = UINT32_MAX;  ///< LBA that answers with a medium error

  [[nodiscard]] std::uint64_t cancels() const noexcept { return cancels_; }
  [[nodiscard]] std::uint64_t io_commands() const noexcept { return io_commands_; }
  /// Stops the service's thread; sessions and disk may be looked at afterwards.
  void stop();

 private:
  void run();
  void on_command(const ring::Request& request) override;
  void on_cancel(ring::RequestId request) override;
  void on_client_gone(ring::ClientId client) override;

  void on_login(const ring::Request& request);
  void on_logout(const ring::Request& request);
  void on_send_targets(const ring::Request& request);
  void on_session_list(const ring::Request& request);
  void on_scsi(const ring::Request& request);
  void on_io(const ring::Request& request);
  void on_bench(const ring::Request& request);
  void on_json(const ring::Request& request);
  /// Of worker 0, with counters that have grown by the same amounts each time they are asked for.
  [[nodiscard]] std::string stats_json();

  void answer(const ring::Request& request, std::span<const std::byte> bytes);
  template <typename Output>
  void answer_with(const ring::Request& request, const Output& output) {
    answer(request, std::as_bytes(std::span(&output, 1)));
  }
  void answer_scsi(const ring::Request& request, std::span<const std::byte> data);
  void answer_sense(const ring::Request& request, std::uint8_t key, std::uint8_t asc);
  [[nodiscard]] FakeSession* find(std::uint64_t id);

  std::unique_ptr<ring::Server> server_;
  std::vector<ring::RequestId> held_;
  std::atomic<std::uint64_t> cancels_{0};
  std::atomic<std::uint64_t> io_commands_{0};
  std::uint32_t stats_asked_ = 0;
  std::atomic<bool> is_stopping_{false};
  std::uint64_t next_session_ = kFirstSession;
  std::thread thread_;
  std::atomic<bool> is_dead_ = false;
};

/// What a run of the program left behind.
struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
  [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// A running program, for tests that interrupt it.
class Child {
 public:
  Child(std::vector<std::string> arguments, const std::string& input);
  void interrupt() const;
  /// Waits for the end; more than twenty seconds fail the test and end the child.
  [[nodiscard]] Outcome wait();

 private:
  int pid_ = -1;
  int out_ = -1;
  int err_ = -1;
};

/// A directory of the test's own, with a service on a socket in it.
class CliTest : public ::testing::Test {
 protected:
  CliTest();
  ~CliTest() override;

  /// Runs `pollux --socket ... arguments` to its end.
  [[nodiscard]] Outcome pollux(const std::vector<std::string>& arguments,
                               const std::string& input = {});
  [[nodiscard]] Child start(const std::vector<std::string>& arguments);
  /// Logs in and returns the session's id as text.
  [[nodiscard]] std::string logged_in();
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write_file(const std::string& name, const std::string& bytes) const;
  [[nodiscard]] std::string read_file(const std::string& name) const;

  std::string directory_;
  std::unique_ptr<FakeService> service_;
};

/// Bytes in which no two blocks are alike.
[[nodiscard]] std::string pattern(std::size_t bytes);

}  // namespace pollux::cli::testing
