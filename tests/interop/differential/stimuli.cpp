#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

const std::vector<Stimulus>& stimuli() {
  static const std::vector<Stimulus> all = [] {
    std::vector<Stimulus> table;
    for (const auto& part :
         {handshake_stimuli(), validity_stimuli(), data_stimuli(), closing_stimuli()})
      table.insert(table.end(), part.begin(), part.end());
    return table;
  }();
  return all;
}

}  // namespace pollux::differential
