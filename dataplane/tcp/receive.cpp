// Received bytes on their way to the reader, and the window that follows from them.
// Read first: RFC 9293 3.8.6.2, RFC 7323 2.4, RFC 1122 4.2.3.3.
#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::append(Connection& c, std::byte* data, std::uint32_t length,
                          void* handle) noexcept {
  c.received.push({data, handle, length});
  c.readable += length;
  c.rcv_nxt += length;
  if (c.received.size() > kPiecesInPlace) mark_dirty(c);  // for copy_waiting()
  counters.bytes_received.add(length);
}

/// Whether every piece of a segment could wait in a cell, cut in two if it must be.
bool Engine::Impl::fits_cells(Pieces payload) const noexcept {
  const auto is_small = [](const platform::RxSegment& piece) {
    return piece.length <= CopyStore::kCellBytes;
  };
  return copies.available() >= 2 * payload.size() &&
         std::all_of(payload.begin(), payload.end(), is_small);
}

/// Pieces wait where they are, since nearly all are read in the same turn; where packet buffers are
/// short, small ones are copied at once. False: not copied.
bool Engine::Impl::append_copy(Connection& c, const std::byte* data,
                               std::uint32_t length) noexcept {
  if (views_held < limits.receive_views_total) return false;
  std::byte* const cell = copies.copy(data, length);
  if (cell == nullptr) return false;
  append(c, cell, length, cell);
  counters.pieces_copied_out.add();
  return true;
}

/// At the end of a turn: when many pieces are left unread, small ones are copied and their packet
/// buffers are free.
void Engine::Impl::copy_waiting(Connection& c) noexcept {
  for (std::uint32_t i = c.received.head + kPiecesInPlace;
       static_cast<std::int32_t>(c.received.tail - i) > 0; ++i) {
    ReceivedView& view = c.received.at(i);
    if (copies.owns(view.handle)) continue;
    std::byte* const cell = copies.copy(view.data, view.length);
    if (cell == nullptr) continue;
    drop_piece(view.handle);
    view.data = cell;
    view.handle = cell;
    counters.pieces_copied_out.add();
  }
}

/// A piece at rcv_nxt joins the queue; its handle passes to the queue or is given back.
void Engine::Impl::append_piece(Connection& c, std::byte* data, std::uint32_t length,
                                void* handle) noexcept {
  if (append_copy(c, data, length)) return give_back(handle);
  append(c, data, length, handle);
  ++views_held;
}

/// Queues `length` bytes of a segment from `skip` on, which is where rcv_nxt is. False when the
/// views would not fit.
bool Engine::Impl::append_payload(Connection& c, Pieces payload, std::uint32_t skip,
                                  std::uint32_t length) noexcept {
  if (c.received.space() < payload.size()) return false;
  if (!may_keep_next(c, payload.size()) && !fits_cells(payload)) [[unlikely]]
    return false;
  for (const platform::RxSegment& piece : payload) {
    const std::uint32_t cut = std::min(skip, piece.length);
    skip -= cut;
    const std::uint32_t taken = std::min(piece.length - cut, length);
    length -= taken;
    if (taken == 0)
      give_back(piece.handle);
    else
      append_piece(c, piece.data + cut, taken, piece.handle);
  }
  return true;
}

/// Files a segment that left a hole or meets one. False: it was dropped, its handles are untouched.
bool Engine::Impl::file_out_of_order(Connection& c, const Segment& segment) noexcept {
  // Every piece may end up in two parts, around one that was there before.
  // What fills a hole does not compete with what waits behind it, or neither would ever be read.
  const std::size_t pieces = 2 * segment.payload.size();
  const bool may = segment.seq == c.rcv_nxt ? may_keep_next(c, pieces)
                                            : may_keep(c.reassembly.count(), pieces);
  if (!may && !fits_cells(segment.payload)) [[unlikely]] {
    counters.dropped_receive_budget.add();
    return false;
  }
  // A segment reports one run: that on its left came first, if there was one.
  wire::SackBlock twice;
  if (segment.skip == 0 &&
      c.reassembly.first_overlap(c.rcv_nxt, segment.seq, segment.length, twice))
    report_duplicate(c, twice);
  std::uint32_t skip = segment.skip;
  std::uint32_t left = segment.length;
  TcpSeq seq = segment.seq;
  const TcpSeq before = c.rcv_nxt;
  bool is_full = false;
  for (const platform::RxSegment& piece : segment.payload) {
    const std::uint32_t cut = std::min(skip, piece.length);
    skip -= cut;
    OutOfOrderPiece part{piece.data + cut, piece.handle, seq.raw(),
                         std::min(piece.length - cut, left)};
    left -= part.length;
    seq += part.length;
    // What waited behind the hole that the piece before this one has filled may reach into this.
    if (TcpSeq{part.start}.precedes(c.rcv_nxt)) {
      const std::uint32_t old = std::min(c.rcv_nxt.raw() - part.start, part.length);
      part.data += old;
      part.start += old;
      part.length -= old;
    }
    bool handle_kept = false;
    // What fills the hole goes straight to the reader, also when the reassembly queue is full.
    while (part.length != 0 && part.start == c.rcv_nxt.raw() && c.received.space() != 0) {
      const std::uint32_t hole =
          c.reassembly.empty() ? part.length
                               : std::min(part.length, c.reassembly.front().start - part.start);
      if (hole != 0 && !append_copy(c, part.data, hole)) {
        if (handle_kept) memory.retain(part.handle);
        append(c, part.data, hole, part.handle);
        ++views_held;
        handle_kept = true;
      }
      drain_reassembly(c);
      const std::uint32_t done = std::min(c.rcv_nxt.raw() - part.start, part.length);
      part.data += done;
      part.start += done;
      part.length -= done;
    }
    if (part.length != 0) {
      if (handle_kept) memory.retain(part.handle);
      const Reassembly::Filed filed = c.reassembly.insert(c.rcv_nxt, part, memory, copies);
      views_held += filed.kept;
      counters.pieces_copied_out.add(filed.copied);
      is_full |= filed.full;
      if (!filed.handle_kept) give_back(part.handle);
    } else if (!handle_kept) {
      give_back(part.handle);
    }
  }
  if (is_full) counters.dropped_out_of_order_full.add();
  if (c.rcv_nxt != before) raise(c, kReadable);
  return true;
}

void Engine::Impl::drain_reassembly(Connection& c) noexcept {
  std::uint32_t moved = 0;
  while (moved < c.reassembly.count() && c.reassembly[moved].start == c.rcv_nxt.raw() &&
         c.received.space() != 0) {
    const OutOfOrderPiece& piece = c.reassembly[moved++];
    append(c, piece.data, piece.length, piece.handle);
  }
  if (moved != 0) c.reassembly.drop_front(moved);
}

/// The reference of a queued piece goes back to where the piece lies.
void Engine::Impl::drop_piece(void* handle) noexcept {
  if (copies.owns(handle)) return copies.give_back(handle);
  --views_held;
  give_back(handle);
}

void Engine::Impl::drop_received(Connection& c) noexcept {
  for (; !c.received.empty(); c.received.pop()) drop_piece(c.received.front().handle);
  c.readable = 0;
}

void Engine::Impl::drop_reassembly(Connection& c) noexcept {
  for (std::uint32_t i = 0; i < c.reassembly.count(); ++i) drop_piece(c.reassembly[i].handle);
  c.reassembly.clear();
}

/// A FIN counts from when it is seen, before the bytes of its segment close a hole: what was filed
/// behind it would otherwise carry rcv_nxt past its number, and the end would never be found.
void Engine::Impl::learn_fin(Connection& c, const Segment& segment) noexcept {
  if (!segment.fin() || !may_receive(c.state) || c.fin_known) return;
  c.fin_known = true;
  c.fin_seq = segment.seq + segment.length;
  // RFC 5681 4.2: what leaves a hole is acknowledged at once, so that the peer learns of the hole.
  if (segment.seq != c.rcv_nxt) request_ack(c);
  const auto dropped = [this](void* handle) { drop_piece(handle); };
  if (c.reassembly.drop_from(c.rcv_nxt, c.fin_seq, dropped) != 0) counters.dropped_after_end.add();
}

/// Takes a piece out of a cell into a packet buffer, for an owner that releases it on its own.
bool Engine::Impl::move_to_buffer(ReceivedView& view) noexcept {
  const platform::FrameBuffer buffer = interface.take_buffer();
  if (buffer.data == nullptr) return false;
  POLLUX_ASSERT(buffer.capacity >= view.length);
  std::memcpy(buffer.data, view.data, view.length);
  copies.give_back(view.handle);
  view.data = buffer.data;
  view.handle = buffer.handle;
  ++views_held;
  return true;
}

/// In the output pass: however much is read in a turn, the window is looked at once.
void Engine::Impl::after_read(Connection& c, Instant now) noexcept {
  if (!may_receive(c.state)) return;
  if (!c.reassembly.empty() && c.reassembly.front().start == c.rcv_nxt.raw()) {
    drain_reassembly(c);
    raise(c, kReadable);
    c.ack_now = true;
  }
  // A window update is worth a segment when it opens much, or when the peer had next to nothing.
  const std::uint32_t buffer = limits.receive_window_bytes;
  const std::uint32_t offered = c.rcv_wnd();
  const std::uint32_t could_offer = std::min(free_window(c), 0xffffu << c.rcv_wnd_shift);
  if (could_offer <= offered) return;
  const std::uint32_t gain = could_offer - offered;
  const bool was_nearly_closed = offered < std::max<std::uint32_t>(buffer / 8, c.rcv_mss);
  if (was_nearly_closed && gain >= std::min<std::uint32_t>(2u * c.rcv_mss, buffer / 2)) {
    c.reader_made_room = true;
    c.ack_now = true;
  } else if (gain >= buffer / 4) {
    c.reader_made_room = true;
    hold_ack(c, now);
  }
}

void Engine::Impl::advance_edge(Connection& c) noexcept {
  // Nothing comes after a FIN, and TIME-WAIT goes on with the window of that moment.
  if (!may_receive(c.state)) return;
  // RFC 9293 3.8.6.2.2 MUST-39: the edge moves right in steps worth a segment, and never left
  // (SHLD-14).
  const std::uint32_t could_offer = std::min(free_window(c), 0xffffu << c.rcv_wnd_shift);
  const std::uint32_t offered = c.rcv_wnd();
  const std::uint32_t step = std::min<std::uint32_t>(c.rcv_mss, limits.receive_window_bytes / 2);
  if (could_offer >= offered + step) c.rcv_edge = c.rcv_nxt + could_offer;
}

std::uint16_t Engine::Impl::window_field(Connection& c) noexcept {
  advance_edge(c);
  // RFC 7323 2.4: rounding down would pull the edge left by less than one unit; so round up.
  const std::uint32_t unit = 1u << c.rcv_wnd_shift;
  const std::uint32_t units = std::min((c.rcv_wnd() + unit - 1) >> c.rcv_wnd_shift, 0xffffu);
  const TcpSeq edge = c.rcv_nxt + (units << c.rcv_wnd_shift);
  if (c.rcv_edge.precedes(edge)) c.rcv_edge = edge;
  return static_cast<std::uint16_t>(units);
}

}  // namespace pollux::tcp
