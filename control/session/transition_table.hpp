// State machines written as the RFC's tables: rows of (state, event, next state, label), looked up
// in a dense index that is built at compile time. Two rows for one state and event stop the build.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pollux::session {

template <class State, class Event>
struct Transition {
  State from;
  Event on;
  State to;
  std::string_view rule;  ///< the RFC's label
};

/// Never defined: reaching it in a constant expression stops the build (`throw` is not available).
void two_rows_for_one_state_and_event();

/// `states` and `events` are the numbers of enumerators.
template <class State, class Event, std::size_t states, std::size_t events, std::size_t rows>
class TransitionTable {
 public:
  using Row = Transition<State, Event>;

  consteval explicit TransitionTable(const std::array<Row, rows>& table) : rows_(table) {
    for (auto& column : index_) column.fill(kNone);
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint8_t& cell = index_[at(table[row].from)][at(table[row].on)];
      if (cell != kNone) two_rows_for_one_state_and_event();
      cell = static_cast<std::uint8_t>(row);
    }
  }

  /// Null when the RFC has no such transition: a protocol error if the peer caused the event.
  [[nodiscard]] constexpr const Row* find(State from, Event on) const noexcept {
    const std::uint8_t row = index_[at(from)][at(on)];
    return row == kNone ? nullptr : &rows_[row];
  }
  [[nodiscard]] constexpr bool handles(State from, Event on) const noexcept {
    return find(from, on) != nullptr;
  }

 private:
  static constexpr std::uint8_t kNone = 0xff;
  static_assert(rows < kNone);
  template <class Enum>
  static constexpr std::size_t at(Enum value) noexcept {
    return static_cast<std::size_t>(value);
  }

  std::array<Row, rows> rows_;
  std::array<std::array<std::uint8_t, events>, states> index_{};
};

}  // namespace pollux::session
