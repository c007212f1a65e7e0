// Script language of the login tests: "we send, they send". A Script owns a Login with serial
// numbers near wrap and answers with valid Login Responses; a test names only what it is about.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "control/session/isid.hpp"
#include "control/session/login.hpp"

namespace pollux::session::test {

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
  return {bytes.begin(), bytes.end()};
}

/// "A=B;C=D" to two pairs with their NULs.
inline std::vector<std::byte> pairs(std::string_view list) {
  std::string text{list};
  for (char& c : text) {
    if (c == ';') c = '\0';
  }
  if (!text.empty()) text += '\0';
  return bytes_of(text);
}

inline std::string text_of(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

inline constexpr std::uint8_t kT = wire::LoginFlags::kTransit;
inline constexpr std::uint8_t kC = wire::LoginFlags::kContinue;
/// CSG and NSG bits.
constexpr std::uint8_t stages(unsigned csg, unsigned nsg) {
  return static_cast<std::uint8_t>(csg << wire::LoginFlags::kCsgShift | nsg);
}

inline LoginOptions default_options() {
  LoginOptions options;
  options.initiator_name = "iqn.2024-01.example:us";
  options.target_name = "iqn.2024-01.example:them";
  options.isid = make_random_isid(0xabcdef, 7);
  options.cid = 3;
  options.initiator_task_tag = 0x11223344;
  options.cmd_sn = CmdSn{0xffff'ffff};
  return options;
}

/// A response, accepted and empty unless changed.
struct Answer {
  std::uint8_t flags = 0;
  std::vector<std::byte> data{};
  std::uint8_t status_class = 0;
  std::uint8_t status_detail = 0;
  std::uint16_t tsih = 0;
  std::uint8_t version_active = 0;
};

class Script {
 public:
  explicit Script(LoginOptions options = default_options())
      : options_(std::move(options)), login_(options_) {
    take(login_.start());
  }

  /// The request that is outstanding.
  [[nodiscard]] const wire::LoginRequest& request() const { return request_; }
  [[nodiscard]] const std::vector<std::byte>& data() const { return data_; }
  [[nodiscard]] std::map<std::string, std::string> keys() const {
    std::map<std::string, std::string> found;
    wire::TextSplitter splitter{data_};
    while (const auto pair = splitter.next()) {
      EXPECT_TRUE(found.emplace(pair->key, pair->value).second) << pair->key << " sent twice";
    }
    EXPECT_EQ(splitter.verdict(), wire::TextVerdict::ok);
    return found;
  }

  wire::LoginResponse response(const Answer& answer) {
    wire::LoginResponse r;
    r.flags = answer.flags;
    r.version_active = answer.version_active;
    r.data_segment_length.set(static_cast<std::uint32_t>(answer.data.size()));
    r.isid = options_.isid;
    r.tsih.set(answer.tsih);
    r.initiator_task_tag.set(options_.initiator_task_tag);
    r.stat_sn.set(stat_sn_);
    r.exp_cmd_sn.set(options_.cmd_sn.raw());
    r.max_cmd_sn.set(options_.cmd_sn.raw() + 31);
    r.status_class = answer.status_class;
    r.status_detail = answer.status_detail;
    return r;
  }

  /// They send; a request that follows becomes the outstanding one.
  const LoginStep& receive(const wire::LoginResponse& r, const std::vector<std::byte>& data) {
    ++stat_sn_;
    last_ = login_.on_pdu(std::bit_cast<wire::Bhs>(r), data);
    if (auto* send = std::get_if<SendPdu>(&*last_)) take(send->pdu);
    return *last_;
  }
  const LoginStep& receive(const Answer& answer) { return receive(response(answer), answer.data); }

  /// They accept security without a word.
  Script& to_operational() {
    receive(
        {.flags = static_cast<std::uint8_t>(kT | stages(0, 1)), .data = pairs("AuthMethod=None")});
    expect_sent();
    EXPECT_EQ(request_.flags, kT | stages(1, 3));
    return *this;
  }
  const LoginStep& accept(std::string_view list) {
    return receive(
        {.flags = static_cast<std::uint8_t>(kT | stages(1, 3)), .data = pairs(list), .tsih = 9});
  }

  void expect_sent() const { ASSERT_TRUE(std::holds_alternative<SendPdu>(*last_)) << sentence(); }
  [[nodiscard]] const LoginResult& result() const {
    EXPECT_TRUE(std::holds_alternative<LoginSucceeded>(*last_)) << sentence();
    return std::get<LoginSucceeded>(*last_).result;
  }
  void expect_failure(LoginFailureKind kind) const {
    ASSERT_TRUE(std::holds_alternative<LoginFailed>(*last_));
    const LoginFailure& failure = std::get<LoginFailed>(*last_).failure;
    EXPECT_EQ(failure.kind, kind) << failure.sentence;
    EXPECT_FALSE(failure.sentence.empty());
    EXPECT_NE(failure.isdsc, 0u);
    EXPECT_NE(failure.exit_code, 0);
  }
  [[nodiscard]] const LoginFailure& failure() const {
    return std::get<LoginFailed>(*last_).failure;
  }
  [[nodiscard]] const LoginStep& last() const { return *last_; }
  [[nodiscard]] Login& login() { return login_; }
  void set_stat_sn(std::uint32_t value) { stat_sn_ = value; }
  [[nodiscard]] std::uint32_t stat_sn() const { return stat_sn_; }

 private:
  void take(const OutgoingPdu& pdu) {
    request_ = std::bit_cast<wire::LoginRequest>(pdu.bhs);
    data_ = pdu.data;
    // Rules that hold for every request: LOG-02, LOG-05, LOG-06, LOG-11, LOG-12.
    EXPECT_EQ(request_.opcode, 0x43);
    EXPECT_EQ(request_.version_max, 0);
    EXPECT_EQ(request_.version_min, 0);
    EXPECT_EQ(request_.isid, options_.isid);
    EXPECT_EQ(request_.tsih.get(), options_.tsih);
    EXPECT_EQ(request_.cid.get(), options_.cid);
    EXPECT_EQ(request_.initiator_task_tag.get(), options_.initiator_task_tag);
    EXPECT_EQ(request_.cmd_sn.get(), options_.cmd_sn.raw());
    EXPECT_EQ(request_.data_segment_length.get(), data_.size());
    EXPECT_LE(data_.size(), kLoginSegmentBytesMax);
    EXPECT_FALSE((request_.flags & kT) != 0 && (request_.flags & kC) != 0);
    EXPECT_TRUE((request_.flags & kT) != 0 || (request_.flags & 3) == 0);
    // NEG-01: the text of a PDU without C ends with a NUL.
    EXPECT_TRUE(data_.empty() || (request_.flags & kC) != 0 || data_.back() == std::byte{0});
  }
  [[nodiscard]] std::string sentence() const {
    const auto* failed = std::get_if<LoginFailed>(&*last_);
    return failed == nullptr ? "" : failed->failure.sentence;
  }

  LoginOptions options_;
  Login login_;
  wire::LoginRequest request_;
  std::vector<std::byte> data_;
  std::uint32_t stat_sn_ = 0xffff'fffe;
  std::optional<LoginStep> last_;
};

}  // namespace pollux::session::test
