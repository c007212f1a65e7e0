// Escaping of peer text (NEG-34). See display_text.hpp.
#include "control/session/display_text.hpp"

#include <fmt/format.h>

namespace pollux::session {

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string out;
  for (const char c : text.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e || c == '\\') {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (text.size() > bytes_max) out += "...";
  return out;
}

}  // namespace pollux::session
