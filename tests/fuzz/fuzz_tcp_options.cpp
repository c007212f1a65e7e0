// The option parser on any bytes: it ends, reads nothing outside, and what it accepts is
// consistent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "dataplane/wire/tcp_options.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pollux::wire;
  constexpr std::size_t kOptionBytesMax = 40;
  if (size > kOptionBytesMax) size = kOptionBytesMax;
  // A copy of exactly this size, so that the sanitizer sees a read past the end.
  const auto bytes = std::make_unique<std::byte[]>(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(data[i]);
  TcpOptions options;
  const OptionsVerdict verdict = parse_tcp_options({bytes.get(), size}, options);
  if (options.sack_count > options.sack.size()) std::abort();
  if (verdict == OptionsVerdict::good && options.has_mss && size < 4) std::abort();
  return 0;
}
