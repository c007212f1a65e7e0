// Socket paths of instances.
#include "control/ring/socket_path.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace pollux::ring {
namespace {

constexpr std::size_t kInstanceCharsMax = 64;

std::string user_path(std::string_view instance) {
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (directory == nullptr || directory[0] != '/') return {};
  return std::string(directory) + "/pollux/" + std::string(instance) + ".sock";
}

std::string system_path(std::string_view instance) {
  return "/run/pollux/" + std::string(instance) + ".sock";
}

}  // namespace

bool is_instance_name(std::string_view instance) noexcept {
  if (instance.empty() || instance.size() > kInstanceCharsMax || instance[0] == '.') return false;
  return std::all_of(instance.begin(), instance.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::vector<std::string> socket_candidates(std::string_view instance) {
  std::vector<std::string> paths{system_path(instance)};
  if (std::string path = user_path(instance); !path.empty()) paths.push_back(std::move(path));
  return paths;
}

std::string default_socket_path(std::string_view instance) {
  return ::geteuid() == 0 ? system_path(instance) : user_path(instance);
}

}  // namespace pollux::ring
