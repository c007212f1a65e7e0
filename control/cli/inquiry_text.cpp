// What INQUIRY data say (SPC-4 6.6 and 7.8, SBC-3 6.6): standard data and the vital product data
// pages people ask for. Every field is read only as far as bytes arrived.
#include <fmt/format.h>

#include <array>
#include <span>

#include "control/cli/scsi_calls.hpp"

namespace pollux::cli {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::size_t kVpdHeaderBytes = 4;

std::uint64_t number_at(Bytes data, std::size_t offset, std::size_t size) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = offset; i < offset + size && i < data.size(); ++i)
    value = value << 8 | static_cast<std::uint8_t>(data[i]);
  return value;
}

Bytes part(Bytes data, std::size_t offset, std::size_t size) noexcept {
  if (offset >= data.size()) return {};
  return data.subspan(offset, std::min(size, data.size() - offset));
}

/// SPC-4 4.4.1: ASCII fields are padded with spaces on the right; some targets use NULs.
std::string ascii(Bytes data) {
  std::string text(reinterpret_cast<const char*>(data.data()), data.size());
  const std::size_t first = text.find_first_not_of(std::string_view(" \0", 2));
  if (first == std::string::npos) return {};
  const std::size_t last = text.find_last_not_of(std::string_view(" \0", 2));
  return clean(std::string_view(text).substr(first, last - first + 1));
}

std::string hex(Bytes data) {
  std::string text;
  for (const std::byte byte : data) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

Json standard_inquiry(Bytes data) {
  const auto peripheral = static_cast<std::uint8_t>(number_at(data, 0, 1));
  Json json;
  json["type"] = device_type_text(peripheral & 0x1f);
  json["connected"] = (peripheral >> 5) == 0;
  json["removable"] = (number_at(data, 1, 1) & 0x80) != 0;
  json["version"] = number_at(data, 2, 1);
  json["vendor"] = ascii(part(data, 8, 8));
  json["product"] = ascii(part(data, 16, 16));
  json["revision"] = ascii(part(data, 32, 4));
  return json;
}

std::string designator_type_text(unsigned type) {
  constexpr std::array<std::string_view, 9> kTypes = {"vendor specific",
                                                      "T10 vendor id",
                                                      "EUI-64",
                                                      "NAA",
                                                      "relative target port",
                                                      "target port group",
                                                      "logical unit group",
                                                      "MD5 logical unit",
                                                      "SCSI name"};
  return type < kTypes.size() ? std::string(kTypes[type]) : fmt::format("type {}", type);
}

Json device_identification(Bytes page) {
  Json designators = Json::array();
  for (std::size_t offset = 0; offset + 4 <= page.size();) {
    const auto code_set = number_at(page, offset, 1) & 0x0f;
    const auto kind = static_cast<unsigned>(number_at(page, offset + 1, 1));
    const std::size_t length = number_at(page, offset + 3, 1);
    const Bytes value = part(page, offset + 4, length);
    constexpr std::array<std::string_view, 4> kAssociations = {"logical unit", "target port",
                                                               "target device", "reserved"};
    designators.push_back({{"association", kAssociations[kind >> 4 & 3]},
                           {"type", designator_type_text(kind & 0x0f)},
                           {"value", code_set == 1 ? hex(value) : ascii(value)}});
    offset += 4 + length;
  }
  return {{"designators", std::move(designators)}};
}

Json block_limits(Bytes data) {
  return {{"optimal_transfer_granularity_blocks", number_at(data, 6, 2)},
          {"maximum_transfer_blocks", number_at(data, 8, 4)},
          {"optimal_transfer_blocks", number_at(data, 12, 4)},
          {"maximum_unmap_blocks", number_at(data, 20, 4)},
          {"maximum_unmap_descriptors", number_at(data, 24, 4)},
          {"unmap_granularity_blocks", number_at(data, 28, 4)},
          {"maximum_write_same_blocks", number_at(data, 36, 8)}};
}

}  // namespace

std::string device_type_text(std::uint8_t type) {
  switch (type) {
    case 0x00:
      return "disk";
    case 0x01:
      return "tape";
    case 0x03:
      return "processor";
    case 0x05:
      return "CD/DVD";
    case 0x07:
      return "optical";
    case 0x08:
      return "changer";
    case 0x0c:
      return "controller";
    case 0x0d:
      return "enclosure";
    case 0x0e:
      return "simple disk";
    case 0x11:
      return "object store";
    case 0x1e:
      return "well known";
    case 0x1f:
      return "none";
    default:
      return fmt::format("type 0x{:02x}", type);
  }
}

Json inquiry_json(const std::vector<std::byte>& data, std::optional<std::uint8_t> vpd_page) {
  const Bytes bytes(data);
  if (!vpd_page) return standard_inquiry(bytes);
  const Bytes page = part(bytes, kVpdHeaderBytes, number_at(bytes, 2, 2));
  Json json;
  switch (*vpd_page) {
    case 0x00: {
      Json pages = Json::array();
      for (const std::byte code : page)
        pages.push_back(fmt::format("0x{:02x}", static_cast<unsigned>(code)));
      json = {{"supported_pages", std::move(pages)}};
      break;
    }
    case 0x80:
      json = {{"serial_number", ascii(page)}};
      break;
    case 0x83:
      json = device_identification(page);
      break;
    case 0xb0:
      json = block_limits(bytes);
      break;
    default:
      json = {{"bytes", hex(page)}};
  }
  return json;
}

}  // namespace pollux::cli
