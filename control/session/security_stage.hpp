// The security stage of login (RFC 7143 6.3.2, 12.1): which authentication methods are offered,
// which one the target chose, and the exchange of that method's own keys. A method is an object
// behind AuthenticationMethod; today there is only None.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/wire/text.hpp"

namespace pollux::session {

/// One method of RFC 7143 12.1. Lives as long as one login.
class AuthenticationMethod {
 public:
  AuthenticationMethod() = default;
  AuthenticationMethod(const AuthenticationMethod&) = delete;
  AuthenticationMethod& operator=(const AuthenticationMethod&) = delete;
  virtual ~AuthenticationMethod() = default;

  /// Its value in AuthMethod lists.
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// The target chose this method: keys of the first step are appended to `text`.
  virtual void begin(std::vector<std::byte>& text) = 0;
  /// One key of the method. A sentence when the target fails or breaks the method's rules.
  [[nodiscard]] virtual std::optional<std::string> on_pair(const wire::TextPair& pair,
                                                           std::vector<std::byte>& answers) = 0;
  /// True when nothing is left to exchange, so the stage may be left.
  [[nodiscard]] virtual bool is_complete() const noexcept = 0;
};

/// AuthMethod=None.
class NoAuthentication final : public AuthenticationMethod {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "None"; }
  void begin(std::vector<std::byte>&) override {}
  [[nodiscard]] std::optional<std::string> on_pair(const wire::TextPair& pair,
                                                   std::vector<std::byte>& answers) override;
  [[nodiscard]] bool is_complete() const noexcept override { return true; }
};

enum class SecurityFault : std::uint8_t {
  none,
  method_refused,  ///< the target wants a method we did not offer, or none of ours
  protocol_error,
};
struct SecurityVerdict {
  SecurityFault fault = SecurityFault::none;
  std::string sentence;
};

class SecurityStage {
 public:
  /// Methods in order of preference; not empty.
  explicit SecurityStage(std::vector<std::unique_ptr<AuthenticationMethod>> methods);

  /// True for AuthMethod and for every key of the methods of RFC 7143 12.1.
  [[nodiscard]] static bool owns(std::string_view key) noexcept;

  void append_offer(std::vector<std::byte>& text) const;
  [[nodiscard]] SecurityVerdict on_pair(const wire::TextPair& pair,
                                        std::vector<std::byte>& answers);

  /// May we ask to leave the stage (T=1)? Before an answer only if None would do.
  [[nodiscard]] bool may_transit() const noexcept;
  /// May the target end the stage now (LOG-43, LOG-45)?
  [[nodiscard]] bool may_end() const noexcept;

 private:
  [[nodiscard]] SecurityVerdict on_choice(std::string_view value, std::vector<std::byte>& answers);
  [[nodiscard]] bool offers_none_only() const noexcept;

  std::vector<std::unique_ptr<AuthenticationMethod>> methods_;
  AuthenticationMethod* chosen_ = nullptr;
  bool is_answered_ = false;
};

}  // namespace pollux::session
