// What one CPU does with nothing but memcpy and CRC32C: the limits that scripts/bench puts beside
// pollux. Warm means the same bytes again and again; cold walks through --working-set bytes, so
// that each piece was last touched a working set ago. `cycles` is of the time stamp counter.
//
// `buffers` copies as placed reads do: from the same bytes to one buffer of a load after the other.
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
/// Of a load: 32 buffers of 128 KiB. What a placed read copies comes from warm packets and goes to
/// the next of these.
constexpr std::size_t kBuffers = 4 * MiB;
using Work = std::function<void(std::byte* to, const std::byte* from, std::size_t length)>;

struct Area {
  explicit Area(std::size_t bytes)
      : size(bytes), data(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)), &std::free) {
    if (data != nullptr) std::memset(data.get(), 0x5a, bytes);
  }
  std::size_t size;
  std::unique_ptr<std::byte, decltype(&std::free)> data;
};

/// Bytes that destination and source walk through.
struct Spread {
  std::size_t to;
  std::size_t from;
};

/// Source and destination lie in the two halves of `area`.
void repeat(benchmark::State& state, Area& area, std::size_t length, Spread spread,
            const Work& work) {
  const std::size_t half = area.size / 2;
  const std::size_t step = std::max(length, kLineBytes);
  const std::size_t pieces_to = std::max<std::size_t>(1, std::min(spread.to, half) / step);
  const std::size_t pieces_from = std::max<std::size_t>(1, std::min(spread.from, half) / step);
  std::size_t to = 0;
  std::size_t from = 0;
  for (auto _ : state) {
    work(area.data.get() + to * step, area.data.get() + half + from * step, length);
    benchmark::ClobberMemory();
    to = to + 1 == pieces_to ? 0 : to + 1;
    from = from + 1 == pieces_from ? 0 : from + 1;
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

void add(Area& area, const char* name, std::size_t length, const char* memory, Spread spread,
         const Work& work) {
  benchmark::RegisterBenchmark(fmt::format("{}/{}/{}", name, length, memory).c_str(),
                               [&area, length, spread, work](benchmark::State& state) {
                                 repeat(state, area, length, spread, work);
                               });
}

void add_warm_and_cold(Area& area, const char* name, std::size_t length, const Work& work) {
  add(area, name, length, "warm", {length, length}, work);
  add(area, name, length, "cold", {area.size, area.size}, work);
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
    add_warm_and_cold(area, "memcpy", length, copy);
  for (const std::size_t length : {128 * KiB, MiB})
    add(area, "memcpy", length, "buffers", {kBuffers, length}, copy);
  add(area, "crc32c_header", 48, "warm", {48, 48}, header_crc);
  add(area, "crc32c", 48, "warm", {48, 48}, isal_crc);
  for (const std::size_t length : {4 * KiB, 8 * KiB, 128 * KiB})
    add_warm_and_cold(area, "crc32c", length, isal_crc);
  add_warm_and_cold(area, "copy_crc32c", 128 * KiB, copy_with_crc);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
