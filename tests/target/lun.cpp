// Memory of the logical units. See lun.hpp.
#include "tests/target/lun.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.hpp"

namespace pollux::target {

Lun::Lun(const LunConfig& config)
    : config_(config),
      memory_bytes_(config.kind == LunKind::ram ? config.bytes : kNullPatternBytes) {
  POLLUX_ASSERT(config.block_bytes == 512 || config.block_bytes == 4096);
  POLLUX_ASSERT(config.bytes > 0 && config.bytes % config.block_bytes == 0);
  void* memory = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  POLLUX_ASSERT(memory != MAP_FAILED);
  memory_ = static_cast<std::byte*>(memory);
  if (config.kind == LunKind::ram) return;
  for (std::size_t i = 0; i < memory_bytes_; ++i) memory_[i] = null_pattern(i);
}

Lun::Lun(Lun&& other) noexcept
    : config_(other.config_),
      memory_(std::exchange(other.memory_, nullptr)),
      memory_bytes_(other.memory_bytes_) {}

Lun::~Lun() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

std::span<const std::byte> Lun::read(std::uint64_t offset, std::uint32_t length) const noexcept {
  if (keeps_data()) return {memory_ + offset, length};
  const std::uint64_t at = offset % kNullPatternBytes;
  return {memory_ + at,
          static_cast<std::size_t>(std::min<std::uint64_t>(length, kNullPatternBytes - at))};
}

std::byte* Lun::write(std::uint64_t offset) noexcept {
  return keeps_data() ? memory_ + offset : nullptr;
}

}  // namespace pollux::target
