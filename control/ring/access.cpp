// Peer credentials and the access they give.
#include "control/ring/access.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "pollux/errors.h"

namespace pollux::ring {
namespace {

constexpr std::size_t kGroupsMax = 65536;  // NGROUPS_MAX of Linux
constexpr std::size_t kGroupBufferBytes = 65536;

}  // namespace

std::optional<Peer> peer_of(int socket_fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return std::nullopt;
  }
  Peer peer{.pid = credentials.pid, .uid = credentials.uid, .groups = {credentials.gid}};
  // SO_PEERCRED names the primary group alone; membership usually comes as a supplementary one.
  std::vector<gid_t> groups(64);
  length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = ::getsockopt(socket_fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  if (result != 0 && errno == ERANGE && length <= kGroupsMax * sizeof(gid_t)) {
    groups.resize(length / sizeof(gid_t));
    result = ::getsockopt(socket_fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  }
  if (result == 0) {
    groups.resize(length / sizeof(gid_t));
    peer.groups.insert(peer.groups.end(), groups.begin(), groups.end());
  }
  return peer;
}

Access AccessPolicy::access_of(const Peer& peer) const noexcept {
  const auto is_member = [&](const std::optional<gid_t>& group) {
    return group && std::find(peer.groups.begin(), peer.groups.end(), *group) != peer.groups.end();
  };
  if (peer.uid == 0 || peer.uid == owner || is_member(manage_group)) return Access::manage;
  return is_member(monitor_group) ? Access::monitor : Access::none;
}

Result<std::optional<gid_t>> group_id(const std::string& group) {
  if (group.empty()) return std::optional<gid_t>{};
  gid_t number = 0;
  const char* end = group.data() + group.size();
  if (const auto parsed = std::from_chars(group.data(), end, number);
      parsed.ec == std::errc{} && parsed.ptr == end) {
    return std::optional<gid_t>{number};
  }
  std::vector<char> buffer(kGroupBufferBytes);
  struct group entry {};
  struct group* found = nullptr;
  if (::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return Error{
        POLLUX_EINVAL,
        fmt::format("the group '{}' does not exist; create it with: groupadd {}", group, group)};
  }
  return std::optional<gid_t>{found->gr_gid};
}

}  // namespace pollux::ring
