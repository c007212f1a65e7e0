#include "tests/support/pcapng_writer.hpp"

namespace pollux::sim {

namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d'0d0a;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b'3c4d;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kLinkTypeEthernet = 1;
constexpr std::uint16_t kOptionTimestampResolution = 9;
constexpr std::uint32_t kNanoseconds = 9;  // 10^-9

}  // namespace

PcapngWriter::PcapngWriter(const std::string& path) : file_(std::fopen(path.c_str(), "wb")) {
  if (!open()) return;
  put32(kSectionHeader);
  put32(28);
  put32(kByteOrderMagic);
  put16(1);
  put16(0);
  put32(0xffff'ffff);  // section length unknown
  put32(0xffff'ffff);
  put32(28);
  for (int i = 0; i < 2; ++i) {
    put32(kInterfaceDescription);
    put32(32);
    put16(kLinkTypeEthernet);
    put16(0);
    put32(0);  // no snap length
    put16(kOptionTimestampResolution);
    put16(1);
    put32(kNanoseconds);
    put32(0);  // end of options
    put32(32);
  }
}

void PcapngWriter::write(std::uint32_t interface_index, Instant at,
                         std::span<const std::byte> frame) {
  if (!open()) return;
  const auto length = static_cast<std::uint32_t>(frame.size());
  const std::uint32_t padding = (4 - length % 4) % 4;
  const auto time = static_cast<std::uint64_t>(at.time_since_epoch().count());
  const std::uint32_t block = 32 + length + padding;
  put32(kEnhancedPacket);
  put32(block);
  put32(interface_index);
  put32(static_cast<std::uint32_t>(time >> 32));
  put32(static_cast<std::uint32_t>(time));
  put32(length);
  put32(length);
  std::fwrite(frame.data(), 1, length, file_.get());
  const std::uint32_t zero = 0;
  std::fwrite(&zero, 1, padding, file_.get());
  put32(block);
}

void PcapngWriter::flush() {
  if (open()) std::fflush(file_.get());
}

// The byte order is the writer's own: the magic tells the reader.
void PcapngWriter::put32(std::uint32_t value) { std::fwrite(&value, sizeof value, 1, file_.get()); }
void PcapngWriter::put16(std::uint16_t value) { std::fwrite(&value, sizeof value, 1, file_.get()); }

}  // namespace pollux::sim
