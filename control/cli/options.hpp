// Everything a command line can say, as plain values. args.hpp fills it; the verbs read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/cli/connection.hpp"
#include "control/url/iscsi_url.hpp"

namespace pollux::cli {

struct BenchOptions {
  std::uint32_t queue_depth = 32;
  std::uint32_t io_size = 4096;
  std::string workload = "randread";
  std::optional<std::uint32_t> read_percent;  ///< only with rw and randrw
  std::uint32_t seconds = 5;
  bool lent = false;
  bool registered = false;
  std::uint64_t seed = 0;
};

struct TopOptions {
  double interval_s = 1;
  std::uint32_t count = 0;  ///< looks; 0: until Ctrl-C
};

struct Options {
  std::string verb;
  ServiceAddress service;
  std::uint32_t timeout_s = 0;  ///< 0: the verb's own default
  bool json = false;

  std::string subject;  ///< SESSION[/LUN], URL or PORTAL
  std::string portal;
  std::string target;
  std::optional<std::string> text;  ///< of send-targets
  std::optional<url::Digest> header_digest;
  std::optional<url::Digest> data_digest;
  bool temporary_login = false;
  bool discovery = false;  ///< of login: a discovery session
  bool all = false;
  bool brief = false;

  std::optional<std::string> lun;
  std::uint64_t lba = 0;
  std::optional<std::uint64_t> blocks;
  std::string file;
  bool pad = false;
  bool force_unit_access = false;
  std::optional<std::uint32_t> vpd_page;
  BenchOptions bench;
  TopOptions top;
  bool prometheus = false;  ///< of stats

  /// The deadline of one operation on the ring, in milliseconds.
  [[nodiscard]] std::uint32_t deadline_ms(std::uint32_t default_s = 30) const noexcept {
    return (timeout_s != 0 ? timeout_s : default_s) * 1000;
  }
};

}  // namespace pollux::cli
