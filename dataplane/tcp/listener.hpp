// Passive open. Only the embedded test target implements this; the initiator never listens.
// Read first: RFC 9293 3.10.7.2.
#pragma once

#include "dataplane/tcp/engine.hpp"

namespace pollux::tcp {

class Listener {
 public:
  /// A SYN came to `local` from `remote`. True accepts it: `fill` then holds owner and timeouts of
  /// the new connection, which shows up as an event with kEstablished once the handshake is done.
  /// Called inside Engine::input(); it must not call the engine.
  virtual bool on_syn(const net::Endpoint& local, const net::Endpoint& remote,
                      OpenRequest& fill) noexcept = 0;

 protected:
  ~Listener() = default;
};

}  // namespace pollux::tcp
