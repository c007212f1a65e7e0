// See service_json.hpp.
#include "control/cli/service_json.hpp"

#include <fmt/format.h>

#include "control/cli/operation.hpp"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

constexpr std::size_t kFirstBytes = std::size_t{64} << 10;

}  // namespace

static_assert(offsetof(pollux_status_out, Json) == offsetof(pollux_stats_out, Json));

Json service_json(Connection& connection, const std::string& what, std::uint32_t opcode,
                  std::uint32_t deadline_ms) {
  const Answer answer = connection.call(what, opcode, {}, kFirstBytes, deadline_ms);
  if (const std::uint32_t status = status_of(what, answer); status != 0)
    throw failure_of_status(what, status);
  const auto out = output_of<pollux_status_out>(answer);
  const auto bytes = answer.bytes_at(offsetof(pollux_status_out, Json), out.JsonSize);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    throw Failure(ExitCode::internal,
                  fmt::format("{} failed: the service's answer is not a JSON object.", what));
  return json;
}

std::uint64_t number_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? clean(found->get<std::string>())
                                                     : std::string{};
}

const Json& list_in(const Json& object, const char* name) {
  static const Json kNone = Json::array();
  const auto found = object.find(name);
  return found != object.end() && found->is_array() ? *found : kNone;
}

}  // namespace pollux::cli
