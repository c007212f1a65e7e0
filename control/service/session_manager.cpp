#include "control/service/session_manager.hpp"

#include <fmt/format.h>
#include <pollux/iscsierr.h>

#include <algorithm>
#include <utility>

namespace pollux::service {
namespace {

bool is_login_step(SessionStep step) noexcept { return step <= SessionStep::moving; }

}  // namespace

std::string portal_text(const SessionRecord& record) {
  return session::to_string(record.request.portal);
}

std::string_view step_name(SessionStep step) noexcept {
  switch (step) {
    case SessionStep::resolving:
    case SessionStep::connecting:
    case SessionStep::moving:
      return "TRANSPORT_WAIT";
    case SessionStep::negotiating:
      return "IN_LOGIN";
    case SessionStep::logged_in:
      return "LOGGED_IN";
    case SessionStep::draining:
    case SessionStep::logging_out:
    case SessionStep::closing:
      return "IN_LOGOUT";
    case SessionStep::failed:
      return "FAILED";
  }
  return "FREE";
}

SessionManager::SessionManager(const SessionManagerOptions& options)
    : config_(options.config),
      workers_(options.workers),
      resolver_(options.resolver),
      isids_(options.isids),
      random_(options.random),
      ids_(options.boot_epoch),
      initiator_name_(config_.initiator_name.empty() ? default_initiator_name()
                                                     : config_.initiator_name),
      log_(options.log) {
  for (const auto& worker : workers_) by_slot_.emplace_back(worker->slot_count());
}

const SessionRecord* SessionManager::find(std::uint64_t id) const noexcept {
  const auto at = records_.find(id);
  return at != records_.end() && at->second.was_logged_in ? &at->second : nullptr;
}

std::vector<const SessionRecord*> SessionManager::sessions() const {
  std::vector<const SessionRecord*> result;
  for (const auto& [id, record] : records_) {
    if (record.was_logged_in) result.push_back(&record);
  }
  return result;
}

bool SessionManager::is_busy() const noexcept {
  return std::any_of(records_.begin(), records_.end(), [](const auto& entry) {
    const SessionRecord& record = entry.second;
    if (record.step == SessionStep::failed) return false;
    return record.step != SessionStep::logged_in || record.text.has_value();
  });
}

SessionRecord* SessionManager::find_by_connection(std::uint32_t worker,
                                                  iscsi::ConnectionRef connection) noexcept {
  if (worker >= by_slot_.size() || connection.slot >= by_slot_[worker].size()) return nullptr;
  SessionRecord* record = by_slot_[worker][connection.slot];
  return record != nullptr && record->is_open && record->connection == connection ? record
                                                                                  : nullptr;
}

void SessionManager::on_message(std::uint32_t worker, const iscsi::ToControl& message,
                                Instant now) {
  now_ = now;
  SessionRecord* record = find_by_connection(worker, message.connection);
  switch (message.kind) {
    case iscsi::ToControlKind::pdu_sent:
    case iscsi::ToControlKind::gate_taken:
    case iscsi::ToControlKind::queue_detached:
      return;  // the channel and the owner of the queue have dealt with these
    case iscsi::ToControlKind::pdu: {
      const auto* slab = static_cast<const iscsi::Slab*>(message.pointer);
      if (record != nullptr) {
        on_pdu(*record, *slab, now);
      } else {
        ++counters_.stale_messages;
      }
      // Stale or not, the slab is the worker's.
      workers_[worker]->send(iscsi::ToWorkerKind::credit_return, message.connection,
                             message.pointer);
      return;
    }
    case iscsi::ToControlKind::connected:
      if (record == nullptr) {
        ++counters_.stale_messages;
      } else if (record->step == SessionStep::connecting) {
        on_connected(*record, message.local_port);
      }
      return;
    case iscsi::ToControlKind::ended:
      if (record == nullptr) {
        ++counters_.stale_messages;
      } else {
        on_ended(*record, message, now);
      }
      return;
    case iscsi::ToControlKind::commands_drained:
      if (record == nullptr) {
        ++counters_.stale_messages;
      } else if (record->step == SessionStep::draining) {
        send_logout(*record, now);
      }
      return;
  }
}

void SessionManager::on_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now) {
  switch (record.step) {
    case SessionStep::negotiating:
      return on_login_pdu(record, slab, now);
    case SessionStep::logged_in:
    case SessionStep::draining:
    case SessionStep::logging_out:
      return on_full_feature_pdu(record, slab, now);
    default:
      ++counters_.unexpected_pdus;
  }
}

void SessionManager::on_ended(SessionRecord& record, const iscsi::ToControl& message, Instant now) {
  record.is_open = false;
  channel(record).free_slot(record.connection);
  if (is_login_step(record.step)) {
    on_login_connection_ended(record, message, now);
  } else {
    on_established_connection_ended(record, message);
  }
}

void SessionManager::on_time(Instant now) {
  now_ = now;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto [instant, id] = *deadlines_.begin();
    deadlines_.erase(deadlines_.begin());
    SessionRecord& record = records_.at(id);
    record.armed = kNever;
    expire(record, now);
    // The record may be gone; one that stays waits for something later or for nothing.
    if (const auto at = records_.find(id); at != records_.end()) arm(at->second);
  }
}

void SessionManager::expire(SessionRecord& record, Instant now) {
  if (record.kept && record.kept->expires <= now) record.kept.reset();
  // Who hears of it may end the record: what else is due follows in the next round of on_time().
  if (expire_waiting_texts(record, now)) return;
  if (record.text && record.text->deadline <= now) {
    // The answer may still come and would be taken for the next exchange's: the ITT is the
    // worker's.
    return drop_connection(record, record.text->exchange.on_deadline().failure.sentence, now);
  }
  if (record.deadline > now) return;
  record.deadline = kNever;
  if (is_login_step(record.step)) return on_login_deadline(record, now);
  on_logout_deadline(record, now);
}

Instant SessionManager::next_deadline() const noexcept {
  return deadlines_.empty() ? kNever : deadlines_.begin()->first;
}

void SessionManager::arm(SessionRecord& record) {
  Instant wanted = record.deadline;
  if (record.text) wanted = std::min(wanted, record.text->deadline);
  for (const TextTask& task : record.texts_waiting) wanted = std::min(wanted, task.deadline);
  if (record.kept) wanted = std::min(wanted, record.kept->expires);
  if (wanted == record.armed) return;
  if (record.armed != kNever) deadlines_.erase({record.armed, record.id});
  record.armed = wanted;
  if (wanted != kNever) deadlines_.insert({wanted, record.id});
}

void SessionManager::release_resources(SessionRecord& record) {
  if (record.has_slot) {
    by_slot_[record.worker][record.slot] = nullptr;
    channel(record).release(record.slot);
    isids_.give_back(record.request.initiator_name, record.request.target_name, record.isid_index);
    record.has_slot = false;
  }
}

void SessionManager::erase(SessionRecord& record) {
  release_resources(record);
  if (record.armed != kNever) deadlines_.erase({record.armed, record.id});
  records_.erase(record.id);
}

void SessionManager::drop_oldest_failed() {
  const auto at = std::find_if(records_.begin(), records_.end(), [](const auto& entry) {
    return entry.second.step == SessionStep::failed;
  });
  if (at != records_.end()) erase(at->second);
}

void SessionManager::note(std::string sentence) const {
  if (log_) log_(sentence);
}

}  // namespace pollux::service
