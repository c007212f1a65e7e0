// Runs a thread one instruction at a time (the processor's trap flag) and looks at each before it
// is executed: what it finds is what really runs, drivers and in-line functions included.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>

#include "dataplane/base/assert.hpp"
#include "tests/unit/steady_state/instruction_forms.hpp"
#include "tests/unit/steady_state/watch.hpp"

namespace pollux::steady {
namespace {

constexpr greg_t kTrapFlag = 0x100;
constexpr std::size_t kPlacesMost = 256;

struct Place {
  const std::uint8_t* at = nullptr;
  std::uint64_t executed = 0;
};

bool wants_stepping = false;
std::uint64_t executed = 0;
std::uint64_t vector_bytes = 0;
std::array<Place, kPlacesMost> places;
std::size_t place_count = 0;

void note_locked(const std::uint8_t* at) noexcept {
  std::size_t i = 0;
  while (i < place_count && places[i].at != at) ++i;
  POLLUX_ASSERT(i < kPlacesMost);
  if (i == place_count) places[place_count++].at = at;
  ++places[i].executed;
}

void on_trap(int, siginfo_t*, void* context) {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (!wants_stepping) {
    registers[REG_EFL] &= ~kTrapFlag;
    return;
  }
  registers[REG_EFL] |= kTrapFlag;
  ++executed;
  const auto* next = reinterpret_cast<const std::uint8_t*>(registers[REG_RIP]);
  vector_bytes += vector_bytes_stored(next);
  if (is_locked(next)) note_locked(next);
}

/// The functions of this program, also those that it does not export.
class Symbols {
 public:
  Symbols() {
    std::ifstream file("/proc/self/exe", std::ios::binary);
    image_.assign(std::istreambuf_iterator<char>(file), {});
    const auto header = read<Elf64_Ehdr>(0);
    std::vector<Elf64_Shdr> sections;
    for (unsigned i = 0; i < header.e_shnum; ++i)
      sections.push_back(read<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr)));
    for (const Elf64_Shdr& section : sections) {
      if (section.sh_type != SHT_SYMTAB) continue;
      const std::size_t names = sections[section.sh_link].sh_offset;
      for (std::size_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
        const auto symbol = read<Elf64_Sym>(section.sh_offset + at);
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_size != 0)
          functions_[symbol.st_value] = {symbol.st_size, &image_[names + symbol.st_name]};
      }
    }
  }

  [[nodiscard]] std::string name_of(const std::uint8_t* at) const {
    Dl_info info{};
    link_map* map = nullptr;
    if (dladdr1(at, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return "unknown";
    const std::string file = info.dli_fname;
    if (map->l_name[0] != '\0') return file.substr(file.rfind('/') + 1);
    const std::uint64_t offset = reinterpret_cast<std::uint64_t>(at) - map->l_addr;
    auto found = functions_.upper_bound(offset);
    if (found == functions_.begin()) return "unknown";
    --found;
    return offset < found->first + found->second.bytes ? found->second.name : "unknown";
  }

 private:
  struct Function {
    std::uint64_t bytes = 0;
    const char* name = nullptr;
  };

  template <class T>
  [[nodiscard]] T read(std::size_t at) const {
    T value{};
    std::memcpy(&value, &image_.at(at + sizeof(T) - 1) - (sizeof(T) - 1), sizeof(T));
    return value;
  }

  std::vector<char> image_;
  std::map<std::uint64_t, Function> functions_;
};

/// Read once, before the first step: meanwhile nobody turns the worker.
const Symbols& symbols() {
  static const Symbols program;
  return program;
}

}  // namespace

void start_stepping() {
  symbols();
  struct sigaction action {};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  POLLUX_ASSERT(sigaction(SIGTRAP, &action, nullptr) == 0);
  executed = 0;
  vector_bytes = 0;
  place_count = 0;
  places = {};
  wants_stepping = true;
  asm volatile("int3" ::: "memory");  // the handler raises the flag for the instructions behind it
}

Instructions stop_stepping() {
  wants_stepping = false;
  asm volatile("int3" ::: "memory");
  std::map<std::string, std::uint64_t> by_name;
  for (std::size_t i = 0; i < place_count; ++i)
    by_name[symbols().name_of(places[i].at)] += places[i].executed;
  Instructions result{.executed = executed, .vector_bytes = vector_bytes, .locked = {}};
  for (const auto& [name, count] : by_name) result.locked.push_back({name, count});
  return result;
}

}  // namespace pollux::steady
