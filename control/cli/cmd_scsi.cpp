// luns, inquiry and capacity: what is behind a session.
#include <fmt/format.h>

#include "control/cli/render.hpp"
#include "control/cli/scsi_calls.hpp"
#include "control/cli/session_calls.hpp"
#include "control/cli/verbs.hpp"
#include "control/url/lun.hpp"

namespace pollux::cli {
namespace {

/// Beyond this many LUNs only numbers are listed: two commands for each would take long.
constexpr std::size_t kDetailedLunsMax = 256;
constexpr std::uint8_t kDiskType = 0x00;

struct LunRow {
  std::uint64_t lun = 0;
  Json inquiry;  ///< null when the target did not answer
  std::optional<Capacity> capacity;
};

/// One LUN that does not answer must not hide the others.
LunRow look_at(Connection& connection, std::uint64_t session_id, std::uint64_t lun,
               std::uint32_t deadline_ms) {
  LunRow row{lun, nullptr, std::nullopt};
  try {
    const auto data = inquiry(connection, session_id, lun, std::nullopt, deadline_ms);
    row.inquiry = inquiry_json(data, std::nullopt);
    const bool is_disk = !data.empty() && (data[0] & std::byte{0x1f}) == std::byte{kDiskType};
    if (is_disk) row.capacity = read_capacity(connection, session_id, lun, deadline_ms);
  } catch (const Failure& failure) {
    if (failure.isdsc() == 0) throw;
  }
  return row;
}

std::string member(const Json& json, const char* name) {
  return json.is_object() && json.contains(name) ? json[name].get<std::string>() : "-";
}

Json capacity_json(const Capacity& capacity) {
  return {{"blocks", capacity.block_count},
          {"block_size", capacity.block_bytes},
          {"physical_block_size", capacity.physical_block_bytes},
          {"bytes", capacity.bytes()},
          {"thin", capacity.thin}};
}

Json luns_json(const std::vector<LunRow>& rows, std::uint64_t session_id) {
  Json json = document("luns");
  json["session_id"] = format_id(session_id);
  json["luns"] = Json::array();
  for (const LunRow& row : rows)
    json["luns"].push_back(
        {{"lun", url::format_lun(row.lun)},
         {"inquiry", row.inquiry},
         {"capacity", row.capacity ? capacity_json(*row.capacity) : Json(nullptr)}});
  return json;
}

std::string luns_table(const std::vector<LunRow>& rows) {
  Table table({"LUN", "TYPE", "SIZE", "BLOCK", "VENDOR", "PRODUCT"});
  for (const LunRow& row : rows)
    table.add({url::format_lun(row.lun), member(row.inquiry, "type"),
               row.capacity ? human_size(row.capacity->bytes()) : "-",
               row.capacity ? fmt::format("{}", row.capacity->block_bytes) : "-",
               member(row.inquiry, "vendor"), member(row.inquiry, "product")});
  return table.text();
}

}  // namespace

ExitCode run_luns(const Options& options) {
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const auto luns = report_luns(connection, use.id(), options.deadline_ms());
  const bool is_detailed = !options.brief && luns.size() <= kDetailedLunsMax;
  std::vector<LunRow> rows;
  for (const std::uint64_t lun : luns)
    rows.push_back(is_detailed ? look_at(connection, use.id(), lun, options.deadline_ms())
                               : LunRow{lun, nullptr, std::nullopt});
  if (options.json) {
    print_json(luns_json(rows, use.id()));
  } else if (!rows.empty()) {
    print(luns_table(rows));
  }
  if (rows.empty())
    throw Failure(ExitCode::no_objects,
                  fmt::format("Session {} has no LUNs for this initiator.", format_id(use.id())));
  return ExitCode::ok;
}

ExitCode run_inquiry(const Options& options) {
  Connection connection(options.service);
  const SessionUse use(connection, options);
  std::optional<std::uint8_t> page;
  if (options.vpd_page) page = static_cast<std::uint8_t>(*options.vpd_page);
  const std::uint64_t lun = use.has_lun() ? use.lun() : 0;
  const auto data = inquiry(connection, use.id(), lun, page, options.deadline_ms());
  const Json decoded = inquiry_json(data, page);
  if (options.json) {
    Json json = document("inquiry");
    json["session_id"] = format_id(use.id());
    json["lun"] = url::format_lun(lun);
    json["vpd_page"] = page ? Json(fmt::format("0x{:02x}", *page)) : Json(nullptr);
    json["data"] = decoded;
    print_json(json);
  } else if (decoded.contains("bytes")) {
    print(hex_dump(data));
  } else {
    print(flatten(decoded));
  }
  return ExitCode::ok;
}

ExitCode run_capacity(const Options& options) {
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const std::uint64_t lun = use.has_lun() ? use.lun() : 0;
  const Capacity capacity = read_capacity(connection, use.id(), lun, options.deadline_ms());
  if (options.json) {
    Json json = document("capacity");
    json["session_id"] = format_id(use.id());
    json["lun"] = url::format_lun(lun);
    json.update(capacity_json(capacity));
    print_json(json);
  } else {
    print(fmt::format("{} blocks of {} bytes: {} bytes ({})\n", capacity.block_count,
                      capacity.block_bytes, capacity.bytes(), human_size(capacity.bytes())));
  }
  return ExitCode::ok;
}

}  // namespace pollux::cli
