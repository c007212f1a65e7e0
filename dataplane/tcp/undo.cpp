// Taking back a recovery that was not needed: an acknowledgment that was only late, or segments
// that only changed places. Timestamps tell at once (Eifel), D-SACK a round trip later. Read first:
// RFC 3522 3.2, RFC 3708 3, RFC 4015 3.
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::begin_undo(Connection& c) noexcept {
  c.undo = {.is_possible = true, .una = c.snd_una};
}

void Engine::Impl::note_copy_sent(Connection& c, Instant now) noexcept {
  if (!c.undo.is_possible) return;
  if (c.undo.copies_sent++ == 0) c.undo.timestamp = timestamp(c, now);
  ++c.undo.copies_open;
}

bool Engine::Impl::try_undo(Connection& c, const AckNews& news, Instant now) noexcept {
  UndoState& undo = c.undo;
  if (!undo.is_possible || undo.copies_sent == 0) return false;
  bool is_needless = false;
  if (news.is_new && !undo.was_answered) {
    // RFC 3522 3.2 (5): the first acknowledgment of something new; one that echoes a time before
    // the first copy left answers the original.
    undo.was_answered = true;
    is_needless =
        c.ts_ok && news.has_timestamp && static_cast<std::int32_t>(news.tsecr - undo.timestamp) < 0;
  }
  // RFC 3708 3: every copy turned out to be a duplicate. What the network doubled on its own lies
  // above what is acknowledged, or below what this recovery began with.
  const bool is_of_a_copy = news.has_dsack && undo.una.precedes(news.dsack.right) &&
                            news.dsack.right.precedes_or_is(c.snd_una);
  if (is_of_a_copy && undo.copies_open != 0) is_needless |= --undo.copies_open == 0;
  if (!is_needless) return false;
  counters.spurious_recoveries.add();
  c.undo = {};
  c.congestion.undo();
  c.rtt.backoff = 0;
  c.scoreboard.forget_losses();
  c.phase = Phase::open;
  c.dupacks = 0;
  c.duplicate_bytes = 0;
  c.rtx_pending = false;
  if (c.flight() != 0) restart_retransmission_timer(c, now);
  mark_dirty(c);
  return true;
}

}  // namespace pollux::tcp
