// A TCP under comparison, seen from its wire and from its application: the same conversation is
// held with pollux's engine (simulated wire and time) and with the kernel (a tap of ours, real
// time).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/time.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/platform/port.hpp"
#include "tests/support/sim_wire.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux::differential {

inline constexpr std::uint16_t kPeerPort = sim::TcpScript::kPeerPort;

/// How frames between the raw peer and the subject are addressed.
struct Addresses {
  platform::MacAddress peer_mac{};
  platform::MacAddress subject_mac{};
  net::IpAddress peer;
  net::IpAddress subject;
};

/// What the application knows now.
struct Outcome {
  std::string read;   ///< bytes that came since the last look
  bool eof = false;   ///< the peer's FIN has been reached
  std::string error;  ///< empty, or an errno's name
};

class Subject {
 public:
  virtual ~Subject() = default;
  [[nodiscard]] virtual const char* name() const = 0;
  [[nodiscard]] virtual const Addresses& addresses() const = 0;
  /// The application opens a connection to the peer. Once.
  virtual void connect() = 0;
  virtual void inject(sim::Frame frame) = 0;
  virtual void wait(Duration time) = 0;
  /// The clock that wait() moves.
  [[nodiscard]] virtual Duration now() = 0;
  /// The segments that the subject sent since the last call.
  virtual std::vector<sim::SentSegment> take() = 0;

  virtual void send(const std::string& bytes) = 0;
  virtual Outcome look() = 0;
  /// Nothing more to send; bytes may still come.
  virtual void close() = 0;
  /// RST.
  virtual void abort() = 0;
  /// The application is gone, whatever is unread.
  virtual void drop() = 0;
  /// RFC 9293's name in lower case. TIME-WAIT counts as closed: the kernel does not tell them
  /// apart.
  [[nodiscard]] virtual std::string state() = 0;
};

struct SubjectOptions {
  std::uint32_t receive_buffer = 0;  ///< bytes; 0: as it comes
};

std::unique_ptr<Subject> make_engine(const SubjectOptions& options);

/// The network namespace, tap and addresses of all kernel subjects of one process.
class KernelWire {
 public:
  /// Moves the calling thread into a namespace of its own. nullptr: `error` says why.
  static std::unique_ptr<KernelWire> create(std::string& error);
  virtual ~KernelWire() = default;
  virtual std::unique_ptr<Subject> make(const SubjectOptions& options) = 0;
};

}  // namespace pollux::differential
