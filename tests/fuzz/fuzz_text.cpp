// Fuzz target: key=value text of any bytes through the splitter, a whole login and a discovery
// answer. The first byte chooses the flags of the Login Response that carries the rest.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "control/session/discovery.hpp"
#include "control/session/isid.hpp"
#include "control/session/login.hpp"
#include "control/session/text_exchange.hpp"

namespace {

using namespace pollux;

void drive_login(std::uint8_t flags, std::span<const std::byte> text) {
  session::LoginOptions options;
  options.initiator_name = "iqn.2024-01.example:fuzz";
  options.target_name = "iqn.2024-01.example:target";
  options.isid = session::make_random_isid(1, 1);
  options.exchanges_max = 16;
  session::Login login{options};
  session::OutgoingPdu request = login.start();
  std::uint32_t stat_sn = 0xffff'fffe;
  constexpr std::size_t kPartBytes = 64;
  while (true) {
    wire::LoginResponse response;
    const std::size_t bytes = text.size() < kPartBytes ? text.size() : kPartBytes;
    // Mostly what the request asked for, so that both stages are reached.
    response.flags = static_cast<std::uint8_t>(request.bhs.flags ^ (bytes == 0 ? 0 : flags));
    response.isid = options.isid;
    response.tsih.set(1);
    response.stat_sn.set(stat_sn++);
    response.data_segment_length.set(static_cast<std::uint32_t>(bytes));
    const auto step = login.on_pdu(std::bit_cast<wire::Bhs>(response), text.first(bytes));
    text = text.subspan(bytes);
    const auto* send = std::get_if<session::SendPdu>(&step);
    if (send == nullptr) return;
    request = send->pdu;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span{data, size});
  drive_login(data[0], bytes.subspan(1));
  const session::TargetAddress current{.host = "192.0.2.1"};
  const auto result = session::parse_send_targets(bytes.subspan(1), current);
  for (const auto& target : result.targets) {
    if (target.portals.empty()) __builtin_trap();
  }
  const std::string text{reinterpret_cast<const char*>(data), size};
  const auto key = session::send_targets_key(text, session::SessionType::discovery, "");
  if (key.value && key.value->find('=') != std::string::npos) __builtin_trap();
  return 0;
}
