// A worker without a data plane: answers mailbox messages as a script says, checks that every
// pointer comes home exactly once, and plays the target for Login, Text and Logout PDUs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/wire/bhs.hpp"
#include "dataplane/worker/link.hpp"

namespace pollux::service::testing {

struct TargetScript {
  enum class Connect { accept, refuse, silent } connect = Connect::accept;
  enum class Login { accept, silent, close } login = Login::accept;
  std::uint8_t login_class = 0;
  std::uint8_t login_detail = 0;
  std::string redirect_to;  ///< TargetAddress; sent `redirects` times
  int redirects = 0;
  enum class Drain { at_once, never } drain = Drain::at_once;
  enum class Logout { answer, silent, close } logout = Logout::answer;
  std::uint8_t logout_response = 0;
  bool close_is_silent = false;         ///< FIN is not answered: `ended` comes only after abort
  std::vector<std::string> text_parts;  ///< answers to SendTargets; empty: silence
  std::vector<std::string> next_text_parts;  ///< of each exchange after the first
};

class FakeWorker {
 public:
  explicit FakeWorker(std::size_t connections = 8) : link(connections), slots_(connections) {}

  worker::Link link;
  TargetScript script;
  std::vector<iscsi::ToWorkerKind> seen;
  std::vector<iscsi::Gate> gates;
  std::vector<net::Endpoint> opened;
  std::uint64_t last_session_id = 0;
  wire::Isid last_isid{};
  bool stopped = false;

  /// Handles all messages that wait; returns how many.
  std::size_t turn() {
    std::size_t count = 0;
    for (iscsi::ToWorker message; link.to_worker.pop(message); ++count) handle(message);
    return count;
  }

  /// The connection of `slot` ends by itself.
  void lose(std::uint16_t slot, iscsi::LossReason reason) { end(slot, reason); }
  [[nodiscard]] bool is_open(std::uint16_t slot) const { return slots_[slot].open; }
  [[nodiscard]] iscsi::ConnectionRef connection(std::uint16_t slot) const {
    return slots_[slot].ref;
  }
  /// Slabs that control holds.
  [[nodiscard]] std::size_t slabs_out() const { return slabs_.size(); }

  template <class Pdu>
  void send_pdu(iscsi::ConnectionRef connection, const Pdu& pdu, const std::string& data = {}) {
    auto slab = std::make_unique<iscsi::Slab>();
    slab->connection = connection;
    slab->bhs = std::bit_cast<wire::Bhs>(pdu);
    slab->bhs.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    slab->length = static_cast<std::uint32_t>(data.size());
    std::memcpy(slab->data.data(), data.data(), data.size());
    tell({.kind = iscsi::ToControlKind::pdu, .connection = connection, .pointer = slab.get()});
    slabs_.push_back(std::move(slab));
  }
  void tell(const iscsi::ToControl& message) { ASSERT_TRUE(link.to_control.push(message)); }

 private:
  struct Slot {
    iscsi::ConnectionRef ref;
    bool open = false;
    bool ended = false;  ///< and not yet freed
    std::uint32_t stat_sn = 100;
  };

  void handle(const iscsi::ToWorker& message) {
    using K = iscsi::ToWorkerKind;
    seen.push_back(message.kind);
    if (message.kind == K::stop) {
      stopped = true;
      return;
    }
    if (message.kind == K::credit_return) {
      const auto at = std::find_if(slabs_.begin(), slabs_.end(),
                                   [&](const auto& slab) { return slab.get() == message.pointer; });
      ASSERT_NE(at, slabs_.end()) << "a slab came home twice";
      slabs_.erase(at);
      return;
    }
    if (message.kind == K::attach_queue) return;
    if (message.kind == K::detach_queue)
      return tell({.kind = iscsi::ToControlKind::queue_detached, .pointer = message.pointer});
    Slot& slot = slots_.at(message.connection.slot);
    if (message.kind == K::open) {
      ASSERT_FALSE(slot.open || slot.ended) << "the slot is in use";
      ASSERT_GT(message.connection.epoch, slot.ref.epoch);
      ASSERT_EQ(message.session_id & 0xffff, message.connection.slot);
      slot = {message.connection, true, false, 100};
      opened.push_back(message.remote);
      last_session_id = message.session_id;
      if (script.connect == TargetScript::Connect::accept) {
        tell(
            {.kind = iscsi::ToControlKind::connected, .connection = slot.ref, .local_port = 40000});
      } else if (script.connect == TargetScript::Connect::refuse) {
        end(message.connection.slot, iscsi::LossReason::connect_refused);
      }
      return;
    }
    if (message.kind == K::send_pdu) {
      const auto* pdu = static_cast<const iscsi::ControlPdu*>(message.pointer);
      const wire::Bhs bhs = pdu->bhs;
      const std::string data(reinterpret_cast<const char*>(pdu->data.data()), pdu->length);
      tell({.kind = iscsi::ToControlKind::pdu_sent,
            .connection = message.connection,
            .pointer = message.pointer});
      if (slot.open && slot.ref == message.connection) answer(slot, bhs);
      return;
    }
    if (message.kind == K::set_gate) {
      gates.push_back(*static_cast<const iscsi::Gate*>(message.pointer));
      tell({.kind = iscsi::ToControlKind::gate_taken,
            .connection = message.connection,
            .pointer = message.pointer});
      return;
    }
    if (slot.ref != message.connection) return;  // stale
    if (message.kind == K::free_slot) {
      ASSERT_TRUE(slot.ended) << "freed before it ended";
      slot.ended = false;
    } else if (message.kind == K::abort || (message.kind == K::close && !script.close_is_silent)) {
      end(message.connection.slot, iscsi::LossReason::requested);
    } else if (message.kind == K::refuse_commands && slot.open &&
               script.drain == TargetScript::Drain::at_once) {
      tell({.kind = iscsi::ToControlKind::commands_drained, .connection = slot.ref});
    }
  }

  void end(std::uint16_t number, iscsi::LossReason reason) {
    Slot& slot = slots_[number];
    if (!slot.open) return;
    slot.open = false;
    slot.ended = true;
    tell({.kind = iscsi::ToControlKind::ended, .connection = slot.ref, .reason = reason});
  }

  void answer(Slot& slot, const wire::Bhs& bhs) {
    switch (bhs.op()) {
      case wire::Opcode::login_request:
        return answer_login(slot, std::bit_cast<wire::LoginRequest>(bhs));
      case wire::Opcode::text_request:
        return answer_text(slot);
      case wire::Opcode::logout_request: {
        if (script.logout == TargetScript::Logout::silent) return;
        if (script.logout == TargetScript::Logout::close)
          return end(slot.ref.slot, iscsi::LossReason::tcp_closed_by_peer);
        wire::LogoutResponse response;
        response.response = script.logout_response;
        return send_pdu(slot.ref, response);
      }
      default:
        FAIL() << "unexpected opcode";
    }
  }

  void answer_login(Slot& slot, const wire::LoginRequest& request) {
    last_isid = request.isid;
    if (script.login == TargetScript::Login::silent) return;
    if (script.login == TargetScript::Login::close)
      return end(slot.ref.slot, iscsi::LossReason::tcp_reset);
    wire::LoginResponse response;
    response.isid = request.isid;
    response.initiator_task_tag = request.initiator_task_tag;
    response.stat_sn.set(slot.stat_sn++);
    response.exp_cmd_sn = request.cmd_sn;
    response.max_cmd_sn.set(request.cmd_sn.get() + 31);
    std::string data;
    if (script.redirects > 0) {
      --script.redirects;
      response.status_class = 1;
      response.status_detail = 1;
      data = "TargetAddress=" + script.redirect_to + std::string(1, '\0');
    } else if (script.login_class != 0) {
      response.status_class = script.login_class;
      response.status_detail = script.login_detail;
    } else {
      response.flags = request.flags;
      const bool is_final = (request.flags & 0x83) == 0x83;
      if (is_final) response.tsih.set(7);
      if ((request.flags >> 2 & 3) == 0 && slot.stat_sn == 101)
        data = std::string("AuthMethod=None\0", 16);
    }
    send_pdu(slot.ref, response, data);
  }

  void answer_text(Slot& slot) {
    if (script.text_parts.empty()) return;
    const std::string part = script.text_parts.front();
    script.text_parts.erase(script.text_parts.begin());
    if (script.text_parts.empty()) script.text_parts = script.next_text_parts;
    wire::TextResponse response;
    const bool is_last = script.text_parts == script.next_text_parts;
    response.flags = is_last ? wire::kFinal : 0;
    if (!is_last) response.target_transfer_tag.set(5);
    send_pdu(slot.ref, response, part);
  }

  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<iscsi::Slab>> slabs_;
};

}  // namespace pollux::service::testing
