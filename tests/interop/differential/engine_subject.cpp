// pollux's engine as a Subject. TcpScript carries it; its notion of the peer is not used.
#include <utility>

#include "tests/interop/differential/subject.hpp"

namespace pollux::differential {
namespace {

std::string error_name(tcp::EndReason reason) {
  switch (reason) {
    case tcp::EndReason::refused:
      return "ECONNREFUSED";
    case tcp::EndReason::reset_by_peer:
      return "ECONNRESET";
    case tcp::EndReason::connect_timeout:
    case tcp::EndReason::user_timeout:
      return "ETIMEDOUT";
    case tcp::EndReason::host_unreachable:
      return "EHOSTUNREACH";
    default:
      return "";
  }
}

class EngineSubject final : public Subject {
 public:
  explicit EngineSubject(const sim::TcpHostOptions& options) : script_(options) {
    addresses_.peer_mac = {2, 0, 0, 0, 0, 2};
    addresses_.subject_mac = options.port.mac;
    addresses_.peer = script_.request().remote.address;
    addresses_.subject = options.config.address;
  }

  [[nodiscard]] const char* name() const override { return "pollux"; }
  [[nodiscard]] const Addresses& addresses() const override { return addresses_; }

  void connect() override {
    if (script_.engine().open(script_.request(), script_.clock.now(), script_.id) !=
        tcp::OpenError::none)
      return;
    for (int i = 0; i < 3; ++i) turn();  // ARP goes first
  }
  void inject(sim::Frame frame) override {
    script_.wire.send(1, std::move(frame));
    turn();
  }
  void wait(Duration time) override {
    for (Duration passed{}; passed < time; passed += 1ms) {
      script_.clock.advance(1ms);
      turn();
    }
  }
  [[nodiscard]] Duration now() override { return script_.clock.now().time_since_epoch(); }
  std::vector<sim::SentSegment> take() override {
    std::vector<sim::SentSegment> sent;
    while (script_.waiting() != 0) sent.push_back(script_.take());
    return sent;
  }

  void send(const std::string& bytes) override {
    script_.engine().send_inline(script_.id, std::as_bytes(std::span(bytes)));
    turn();
  }
  Outcome look() override {
    Outcome outcome{.read = script_.read(), .eof = eof_, .error = {}};
    if (ended_) outcome.error = error_name(script_.engine().end_reason(script_.id));
    turn();
    return outcome;
  }
  void close() override {
    script_.close();
    turn();
  }
  void abort() override {
    script_.engine().abort(script_.id, script_.clock.now());
    turn();
  }
  void drop() override {
    script_.engine().release(script_.id);
    turn();
  }
  [[nodiscard]] std::string state() override {
    switch (script_.state()) {
      case tcp::State::syn_sent:
        return "syn-sent";
      case tcp::State::syn_received:
        return "syn-received";
      case tcp::State::established:
        return "established";
      case tcp::State::fin_wait_1:
        return "fin-wait-1";
      case tcp::State::fin_wait_2:
        return "fin-wait-2";
      case tcp::State::close_wait:
        return "close-wait";
      case tcp::State::closing:
        return "closing";
      case tcp::State::last_ack:
        return "last-ack";
      case tcp::State::listen:
        return "listen";
      case tcp::State::closed:
      case tcp::State::time_wait:
        break;
    }
    return "closed";
  }

 private:
  void turn() {
    script_.turn();
    const std::uint32_t events = script_.events();
    eof_ = eof_ || (events & tcp::kPeerClosed) != 0;
    ended_ = ended_ || (events & tcp::kEnded) != 0;
  }

  sim::TcpScript script_;
  Addresses addresses_;
  bool eof_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Subject> make_engine(const SubjectOptions& options) {
  sim::TcpHostOptions host = sim::TcpScript::default_options();
  // With one segment in flight the kernel adds its least timeout to the probe; that is no
  // difference worth a line.
  host.timers.tail_probe_min = 200ms;
  if (options.receive_buffer != 0) host.limits.receive_window_bytes = options.receive_buffer;
  return std::make_unique<EngineSubject>(host);
}

}  // namespace pollux::differential
