// What one CPU does with nothing but memcpy and CRC32C: the limits that scripts/bench puts beside
// pollux. Warm means the same bytes again and again; cold walks through --working-set bytes, so
// that each piece was last touched a working set ago. `cycles` is of the time stamp counter.
//
//   bench_limits [--working-set BYTES] [flags of Google Benchmark, such as --benchmark_format=json]
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <isa-l/crc.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/base/units.hpp"
#include "dataplane/platform/crc32c.hpp"

namespace {

using namespace pollux;

constexpr std::size_t kLineBytes = 64;
using Work = std::function<void(std::byte* to, const std::byte* from, std::size_t length)>;

struct Area {
  explicit Area(std::size_t bytes)
      : size(bytes), data(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)), &std::free) {
    if (data != nullptr) std::memset(data.get(), 0x5a, bytes);
  }
  std::size_t size;
  std::unique_ptr<std::byte, decltype(&std::free)> data;
};

/// Source and destination lie in the two halves of `area`, of which `spread` bytes each are used.
void repeat(benchmark::State& state, Area& area, std::size_t length, std::size_t spread,
            const Work& work) {
  const std::size_t half = area.size / 2;
  const std::size_t pieces = std::max<std::size_t>(1, std::min(spread, half) / length);
  std::size_t piece = 0;
  for (auto _ : state) {
    work(area.data.get() + piece * length, area.data.get() + half + piece * length, length);
    benchmark::ClobberMemory();
    piece = piece + 1 == pieces ? 0 : piece + 1;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(length));
}

void copy(std::byte* to, const std::byte* from, std::size_t length) {
  std::memcpy(to, from, length);
}

/// ISA-L's own function, whatever pollux does around it.
void isal_crc(std::byte*, const std::byte* from, std::size_t length) {
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(from));
  benchmark::DoNotOptimize(crc32_iscsi(data, static_cast<int>(length), platform::kCrc32cStart));
}

void header_crc(std::byte*, const std::byte* from, std::size_t) {
  benchmark::DoNotOptimize(platform::crc32c_header48(from));
}

void copy_with_crc(std::byte* to, const std::byte* from, std::size_t length) {
  benchmark::DoNotOptimize(platform::crc32c_copy_extend(platform::kCrc32cStart, to, from, length));
}

void add(Area& area, const char* name, std::size_t length, bool cold, const Work& work) {
  const std::size_t step = (length + kLineBytes - 1) / kLineBytes * kLineBytes;
  const std::size_t spread = cold ? area.size : step;
  benchmark::RegisterBenchmark(
      fmt::format("{}/{}/{}", name, length, cold ? "cold" : "warm").c_str(),
      [&area, length, spread, work](benchmark::State& state) {
        repeat(state, area, length, spread, work);
      });
}

/// Takes --working-set out of the arguments. 0: it is not a number.
std::size_t take_working_set(int& argc, char** argv, std::size_t otherwise) {
  constexpr std::string_view kFlag = "--working-set";
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] != kFlag) continue;
    const std::string_view word = argv[i + 1];
    std::size_t bytes = 0;
    const auto read = std::from_chars(word.data(), word.data() + word.size(), bytes);
    std::copy(argv + i + 2, argv + argc + 1, argv + i);
    argc -= 2;
    return read.ec == std::errc() ? bytes / 8192 * 8192 : 0;
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  Area area(take_working_set(argc, argv, GiB));
  if (area.size < 4 * MiB || area.data == nullptr) {
    fmt::print(stderr,
               "bench_limits: --working-set wants a number of bytes, at least 4 MiB and "
               "no more than there is memory\n");
    return 2;
  }
  for (const std::size_t length : {4 * KiB, 128 * KiB, MiB})
    for (const bool cold : {false, true}) add(area, "memcpy", length, cold, copy);
  add(area, "crc32c_header", 48, false, header_crc);
  add(area, "crc32c", 48, false, isal_crc);
  for (const std::size_t length : {4 * KiB, 8 * KiB, 128 * KiB})
    for (const bool cold : {false, true}) add(area, "crc32c", length, cold, isal_crc);
  for (const bool cold : {false, true}) add(area, "copy_crc32c", 128 * KiB, cold, copy_with_crc);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
