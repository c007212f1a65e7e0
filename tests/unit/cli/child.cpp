// The program as a child process, and the fixture that runs it. See fake_service.hpp.
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kChildBound{20};

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2";
  return ends;
}

}  // namespace

Child::Child(std::vector<std::string> arguments, const std::string& input) {
  const auto in = make_pipe();
  const auto out = make_pipe();
  const auto err = make_pipe();
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(126);
  }
  for (const int end : {in[0], out[1], err[1]}) ::close(end);
  // Test inputs fit into a pipe's buffer, so that writing before anybody reads does not block.
  EXPECT_EQ(::write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
  ::close(in[1]);
  out_ = out[0];
  err_ = err[0];
}

void Child::interrupt() const { ::kill(pid_, SIGINT); }

Outcome Child::wait() {
  Outcome run;
  const auto end = steady_clock::now() + kChildBound;
  std::array<pollfd, 2> readable{pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  std::size_t open_count = readable.size();
  while (open_count > 0 && steady_clock::now() < end) {
    ::poll(readable.data(), readable.size(), 100);
    for (std::size_t i = 0; i < readable.size(); ++i) {
      if (readable[i].fd < 0 || readable[i].revents == 0) continue;
      std::array<char, 65536> bytes;
      const ssize_t got = ::read(readable[i].fd, bytes.data(), bytes.size());
      if (got > 0) {
        (i == 0 ? run.out : run.err).append(bytes.data(), static_cast<std::size_t>(got));
        continue;
      }
      readable[i].fd = -1;
      --open_count;
    }
  }
  if (open_count > 0) {
    ADD_FAILURE() << "the program did not end: " << run.err;
    ::kill(pid_, SIGKILL);
  }
  ::close(out_);
  ::close(err_);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return run;
}

CliTest::CliTest() {
  std::string name = (std::filesystem::temp_directory_path() / "pollux-cli-XXXXXX").string();
  directory_ = ::mkdtemp(name.data());
  service_ = std::make_unique<FakeService>(path("service.sock"));
}

CliTest::~CliTest() {
  service_.reset();
  std::filesystem::remove_all(directory_);
}

Child CliTest::start(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{POLLUX_CLI, "--socket", path("service.sock")};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return {std::move(all), {}};
}

Outcome CliTest::pollux(const std::vector<std::string>& arguments, const std::string& input) {
  std::vector<std::string> all{POLLUX_CLI, "--socket", path("service.sock")};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Child(std::move(all), input).wait();
}

std::string CliTest::logged_in() {
  const Outcome run = pollux({"login", "--json", std::string("iscsi://10.0.0.1/") + kTarget});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return run.exit_code == 0 ? run.json()["session_id"].get<std::string>() : std::string("0x0");
}

void CliTest::write_file(const std::string& name, const std::string& bytes) const {
  std::ofstream(path(name), std::ios::binary) << bytes;
}

std::string CliTest::read_file(const std::string& name) const {
  std::ifstream file(path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  std::uint64_t state = 0x9e3779b97f4a7c15;
  for (char& c : text) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return text;
}

}  // namespace pollux::cli::testing
