// Error numbers in words, and ring statuses as error numbers.
#include <array>
#include <cstddef>
#include <cstdint>

#include "pollux/client.h"
#include "pollux/ring.h"

namespace {

constexpr auto kSentences = std::to_array<const char*>({
    "no error",
    "an argument is not valid, or the service found the command malformed",
    "no room now; take completions and try again",
    "memory or a limit ran out",
    "still in use",
    "not done in time",
    "there is no such session, or it is gone",
    "the connection ended before the command did",
    "ended by logout or close",
    "the target broke the protocol",
    "the target failed to carry the command out",
    "the configuration cannot be used",
    "the login failed",
    "the portal could not be reached",
    "the pollux service is not running, or it ended",
    "this user may not do that",
    "client and service speak different versions",
    "the output area is too small for the answer",
    "cancelled",
    "an internal error",
    "the command is larger than the channel can carry",
    "the service does not offer this operation",
    "no such command is in flight",
});
static_assert(kSentences.size() == -POLLUX_ENOTFOUND + 1);

}  // namespace

extern "C" {

const char* pollux_strerror(int error) noexcept {
  const std::size_t index = static_cast<std::size_t>(error < 0 ? -static_cast<long>(error) : error);
  return index < kSentences.size() ? kSentences[index] : "an error this version has no words for";
}

int pollux_client_status_error(uint32_t ring_status) noexcept {
  switch (ring_status) {
    case POLLUX_RING_OK:
      return 0;
    case POLLUX_RING_OUTPUT_TOO_SMALL:
      return POLLUX_ETOOSMALL;
    case POLLUX_RING_UNKNOWN_OPCODE:
      return POLLUX_ENOTSUP;
    case POLLUX_RING_NOT_PERMITTED:
      return POLLUX_EACCES;
    case POLLUX_RING_INPUT_TOO_LARGE:
      return POLLUX_ETOOLARGE;
    case POLLUX_RING_BUSY:
      return POLLUX_EAGAIN;
    case POLLUX_RING_CANCELLED:
      return POLLUX_ECANCELED;
    case POLLUX_RING_DEADLINE_PASSED:
      return POLLUX_ETIMEDOUT;
    case POLLUX_RING_TAG_NOT_FOUND:
      return POLLUX_ENOTFOUND;
    case POLLUX_RING_STOPPING:
      return POLLUX_ESERVICE;
    case POLLUX_RING_FAILED:
      return POLLUX_EINTERNAL;
    default:
      return POLLUX_EINVAL;
  }
}

}  // extern "C"
