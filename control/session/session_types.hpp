// Small shared types of the session folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/wire/bhs.hpp"

namespace pollux::session {

/// RFC 7143 13.21.
enum class SessionType : std::uint8_t { discovery, normal };

/// A PDU to send. `data` is unpadded and data_segment_length is set; the worker pads and digests.
struct OutgoingPdu {
  wire::Bhs bhs;
  std::vector<std::byte> data;
};

}  // namespace pollux::session
