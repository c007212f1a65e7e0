// Text Requests in full feature phase: SendTargets with answers in parts, and declared keys
// (RFC 7143 11.10, 11.11, appendix C).
#include <algorithm>
#include <cstring>

#include "tests/target/text_answer.hpp"

namespace pollux::target {
namespace {

// Small enough for any initiator's default, so that a long list really comes in parts.
constexpr std::uint32_t kTextPartMax = 4096;

/// Copies the part of a stream of pairs that starts at `skip`.
class PartWriter {
 public:
  PartWriter(std::span<std::byte> out, std::uint32_t skip) noexcept : out_(out), skip_(skip) {}

  void add(std::string_view key, std::string_view value) noexcept {
    put(key);
    put("=");
    put(value);
    put(std::string_view{"\0", 1});
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return used_; }
  [[nodiscard]] bool complete() const noexcept { return !overflowed_; }

 private:
  void put(std::string_view text) noexcept {
    const auto skipped = std::min<std::size_t>(skip_, text.size());
    skip_ -= static_cast<std::uint32_t>(skipped);
    text.remove_prefix(skipped);
    const std::size_t fits = std::min(text.size(), out_.size() - used_);
    std::memcpy(out_.data() + used_, text.data(), fits);
    used_ += static_cast<std::uint32_t>(fits);
    overflowed_ = overflowed_ || fits < text.size();
  }
  std::span<std::byte> out_;
  std::uint32_t skip_;
  std::uint32_t used_ = 0;
  bool overflowed_ = false;
};

}  // namespace

std::uint32_t Protocol::gather_text(Connection& c) noexcept {
  const auto room = static_cast<std::uint32_t>(Connection::kTextBytes - c.text_bytes);
  c.input.set_destination(c.text.get() + c.text_bytes, room);
  return room;
}

std::uint32_t Protocol::target_list(const Connection& c, std::span<std::byte> out,
                                    bool& complete) const noexcept {
  PartWriter writer{out, c.list_offset};
  const std::size_t first = c.list_all ? 0 : c.list_target;
  const std::size_t end = c.list_all ? config_.names.size() : first + 1;
  for (std::size_t i = first; i < end && writer.complete(); ++i) {
    writer.add("TargetName", config_.names[i]);
    writer.add("TargetAddress", config_.portal);
  }
  complete = writer.complete();
  return writer.size();
}

void Protocol::end_text_request(Connection& c) noexcept {
  const auto request = c.input.header<wire::TextRequest>();
  const bool final = (request.flags & wire::kFinal) != 0;
  const bool more = (request.flags & wire::TextRequest::kContinue) != 0;
  checks_.require(!(final && more), Violation::text, "F and C both set");
  checks_.require((request.flags & 0x3f) == 0, Violation::reserved_field, "Text Request byte 1",
                  request.flags);
  const std::uint32_t tag = request.target_transfer_tag.get();
  const std::uint32_t room = static_cast<std::uint32_t>(Connection::kTextBytes) - c.text_bytes;
  const bool good =
      checks_.require(tag == wire::kReservedTag || tag == c.text_transfer_tag,
                      Violation::target_transfer_tag, "Target Transfer Tag of a Text Request", tag,
                      c.text_transfer_tag) &&
      checks_.require(c.input.data_length() <= room, Violation::text, "text too long",
                      c.input.data_length(), room);
  if (!good) {
    c.text_bytes = 0;
    return send_reject(c, 0x04);  // RFC 7143 11.17.1: protocol error
  }
  c.text_bytes += c.input.data_length();
  if (more) return send_text_response(c, {}, false);
  TextAnswer answer;
  if (tag == wire::kReservedTag || c.text_bytes > 0) {
    c.list_offset = 0;
    c.list_target = static_cast<std::uint32_t>(config_.names.size());  // nothing asked for
    answer_text(c, answer);
    c.text_bytes = 0;
    if (c.list_target == config_.names.size() && !c.list_all)
      return send_text_response(c, answer.text(), final);
  }
  std::array<std::byte, kTextPartMax> part;
  bool complete = false;
  const std::uint32_t most = std::min(kTextPartMax, c.negotiated.initiator_segment_length);
  const std::uint32_t length = target_list(c, std::span{part}.first(most), complete);
  c.list_offset += length;
  send_text_response(c, std::span{part}.first(length), complete);
}

void Protocol::answer_text(Connection& c, TextAnswer& answer) noexcept {
  c.list_all = false;
  wire::TextSplitter splitter{std::span{c.text.get(), c.text_bytes}};
  while (const auto pair = splitter.next()) {
    if (pair->key == "MaxRecvDataSegmentLength") {
      const auto number = wire::parse_number(pair->value, 512, wire::kDataSegmentLengthMax);
      if (number) c.negotiated.initiator_segment_length = static_cast<std::uint32_t>(*number);
    } else if (pair->key != "SendTargets") {
      answer.add(pair->key, "NotUnderstood");
    } else if (pair->value == "All") {
      // RFC 7143 appendix C: All is for discovery sessions.
      c.list_all = checks_.require(c.is_discovery, Violation::text, "SendTargets=All in a session");
      if (!c.list_all) answer.add(pair->key, "Reject");
    } else if (pair->value.empty()) {
      if (checks_.require(!c.is_discovery, Violation::text, "SendTargets= in a discovery session"))
        c.list_target = c.target_index;
    } else {
      const auto at = std::find(config_.names.begin(), config_.names.end(), pair->value);
      c.list_target = static_cast<std::uint32_t>(at - config_.names.begin());
    }
  }
  checks_.require(splitter.verdict() == wire::TextVerdict::ok, Violation::text,
                  "text of a Text Request", static_cast<std::uint64_t>(splitter.verdict()));
}

void Protocol::send_text_response(Connection& c, std::span<const std::byte> text,
                                  bool final) noexcept {
  const auto request = c.input.header<wire::TextRequest>();
  wire::TextResponse response;
  const bool more = !final && !text.empty();
  response.flags = final ? wire::kFinal : more ? wire::TextResponse::kContinue : std::uint8_t{0};
  response.lun = request.lun;
  response.initiator_task_tag = request.initiator_task_tag;
  // RFC 7143 11.11.3: a valid tag says that more is to come, from either side.
  c.text_transfer_tag = final ? wire::kReservedTag : c.next_transfer_tag++ & 0x7fff'ffff;
  response.target_transfer_tag.set(c.text_transfer_tag);
  stamp(c, response, true);
  out_.pdu(response, text, c.negotiated.digests);
}

}  // namespace pollux::target
