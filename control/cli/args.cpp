// See args.hpp. CLI11 does the splitting; its errors become our sentences here and go no further.
#include "control/cli/args.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "control/cli/failure.hpp"
#include "control/cli/suggest.hpp"

namespace pollux::cli {
namespace {

constexpr std::uint32_t kTimeoutSecondsMax = 86'400;
constexpr std::uint32_t kQueueDepthMax = 65'536;
constexpr std::uint32_t kIoSizeMax = 4u << 20;
constexpr std::uint32_t kBenchSecondsMax = 86'400;
// More often would show the service's own answers at work.
constexpr double kTopIntervalLeast = 0.1;
constexpr double kTopIntervalMost = 86'400;

constexpr const char* kSessionHelp =
    "a session id (0x..., decimal, or <adapter>-<session>), the end of a target name, a portal, or "
    "an "
    "iscsi:// URL";
constexpr const char* kLunHelp =
    "SESSION/LUN, SESSION with --lun, or iscsi://HOST[:PORT]/TARGET/LUN";

void add_digests(CLI::App& verb, Options& options) {
  const auto setter = [](std::optional<url::Digest>& digest) {
    return [&digest](const std::string& text) {
      const Result<url::Digest> parsed = url::parse_digest(text);
      if (!parsed) throw CLI::ValidationError(parsed.error().message);
      digest = *parsed;
    };
  };
  verb.add_option_function<std::string>("--header-digest", setter(options.header_digest),
                                        "none or crc32c")
      ->type_name("DIGEST");
  verb.add_option_function<std::string>("--data-digest", setter(options.data_digest),
                                        "none or crc32c")
      ->type_name("DIGEST");
}

void add_lun_subject(CLI::App& verb, Options& options) {
  verb.add_option("lun_reference", options.subject, kLunHelp)->required()->type_name("SESSION|URL");
  verb.add_option("--lun", options.lun, "logical unit number")->type_name("N");
  verb.add_flag("--login", options.temporary_login,
                "with a URL: log in for the duration when there is no session");
  add_digests(verb, options);
}

void add_range(CLI::App& verb, Options& options, const char* blocks_help) {
  verb.add_option("--lba", options.lba, "first block (default 0)")->type_name("A");
  verb.add_option("--blocks", options.blocks, blocks_help)->type_name("C");
}

CLI::App* add_verb(CLI::App& app, Options& options, const std::string& name,
                   const std::string& description, const std::string& examples) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->footer("Examples:\n" + examples);
  verb->fallthrough();
  verb->callback([&options, name] { options.verb = name; });
  return verb;
}

void add_session_verbs(CLI::App& app, Options& options) {
  CLI::App* discover = add_verb(app, options, "discover", "List the targets of a portal",
                                "  pollux discover 10.0.0.1\n"
                                "  pollux discover '[fd00::1]:3260' --json\n");
  discover->add_option("portal", options.subject, "host, host:port or [IPv6]:port")
      ->required()
      ->type_name("PORTAL");
  add_digests(*discover, options);

  CLI::App* login =
      add_verb(app, options, "login", "Log in to a target",
               "  pollux login iscsi://10.0.0.1/iqn.2003-01.org.example:disk\n"
               "  pollux login --portal 10.0.0.1 --target iqn.2003-01.org.example:disk "
               "--header-digest crc32c\n"
               "  pollux login --discovery iscsi://10.0.0.1\n");
  login->add_option("url", options.subject, "iscsi://HOST[:PORT]/TARGET")->type_name("URL");
  login->add_option("-p,--portal", options.portal, "host, host:port or [IPv6]:port");
  login->add_option("-T,--target", options.target, "target name");
  login->add_flag(
      "--discovery", options.discovery,
      "a discovery session, for send-targets, which stays until logout; names no target");
  add_digests(*login, options);

  CLI::App* logout = add_verb(app, options, "logout", "Log out and end a session",
                              "  pollux logout 0x5e1f000000000001\n"
                              "  pollux logout --all\n");
  logout->add_option("session", options.subject, kSessionHelp)->type_name("SESSION");
  logout->add_flag("--all", options.all, "every session of the service");

  add_verb(app, options, "sessions", "List the sessions",
           "  pollux sessions\n"
           "  pollux sessions --json\n");

  CLI::App* send =
      add_verb(app, options, "send-targets", "Ask for targets over a session that exists",
               "  pollux send-targets 0x5e1f000000000001\n"
               "  pollux send-targets 10.0.0.1 All\n");
  send->add_option("session", options.subject, kSessionHelp)->required()->type_name("SESSION");
  send->add_option(
          "text", options.text,
          "All, a target name, or nothing for the session's own target (the default is All on a "
          "discovery session and nothing on a normal one)")
      ->type_name("TEXT");
}

void add_scsi_verbs(CLI::App& app, Options& options) {
  CLI::App* luns =
      add_verb(app, options, "luns", "List the LUNs of a session",
               "  pollux luns 0x5e1f000000000001\n"
               "  pollux luns iscsi://10.0.0.1/iqn.2003-01.org.example:disk --login\n");
  luns->add_option("session", options.subject, kSessionHelp)->required()->type_name("SESSION|URL");
  luns->add_flag("--login", options.temporary_login,
                 "with a URL: log in for the duration when there is no session");
  luns->add_flag("--brief", options.brief, "numbers only, without asking each LUN");
  add_digests(*luns, options);

  CLI::App* inquiry = add_verb(app, options, "inquiry", "Show INQUIRY data of a LUN",
                               "  pollux inquiry 0x5e1f000000000001/0\n"
                               "  pollux inquiry 0x5e1f000000000001/0 --vpd 0x83\n");
  add_lun_subject(*inquiry, options);
  inquiry->add_option("--vpd", options.vpd_page, "vital product data page, for instance 0x83")
      ->check(CLI::Range(0u, 255u))
      ->type_name("PAGE");

  CLI::App* capacity = add_verb(app, options, "capacity", "Show the size of a LUN",
                                "  pollux capacity 0x5e1f000000000001/0\n");
  add_lun_subject(*capacity, options);
}

void add_io_verbs(CLI::App& app, Options& options) {
  CLI::App* read = add_verb(app, options, "read", "Read blocks into a file",
                            "  pollux read disk1/0 --lba 0 --blocks 2048 --output first.img\n"
                            "  pollux read disk1/0 --output - | sha256sum\n");
  add_lun_subject(*read, options);
  add_range(*read, options, "how many (default: to the end of the LUN)");
  read->add_option("--output", options.file, "file, or - for standard output")
      ->required()
      ->type_name("FILE");
  read->add_flag("--fua", options.force_unit_access, "read from the medium, not from a cache");

  CLI::App* write = add_verb(app, options, "write", "Write a file to blocks",
                             "  pollux write disk1/0 --lba 0 --input disk.img\n"
                             "  zstdcat disk.img.zst | pollux write disk1/0 --input -\n");
  add_lun_subject(*write, options);
  add_range(*write, options, "at most so many (default: the whole file)");
  write->add_option("--input", options.file, "file, or - for standard input")
      ->required()
      ->type_name("FILE");
  write->add_flag("--pad", options.pad, "fill the last block up with zeros");
  write->add_flag("--fua", options.force_unit_access, "complete when the medium has it");

  CLI::App* verify = add_verb(app, options, "verify", "Compare blocks with a file",
                              "  pollux verify disk1/0 --input disk.img\n");
  add_lun_subject(*verify, options);
  add_range(*verify, options, "at most so many (default: the whole file)");
  verify->add_option("--input", options.file, "file, or - for standard input")
      ->required()
      ->type_name("FILE");
  verify->add_flag("--pad", options.pad, "compare the rest of the last block with zeros");
}

void add_bench_verb(CLI::App& app, Options& options) {
  BenchOptions& bench = options.bench;
  CLI::App* verb =
      add_verb(app, options, "bench", "Measure a LUN; write workloads destroy its data",
               "  pollux bench disk1/0\n"
               "  pollux bench disk1/0 -q 1 -o 4096 -w randrw -M 70 -t 30 --json\n");
  add_lun_subject(*verb, options);
  add_range(*verb, options, "blocks of the range worked on (default: to the end of the LUN)");
  verb->add_option("-q,--queue-depth", bench.queue_depth, "commands in flight (default 32)")
      ->check(CLI::Range(1u, kQueueDepthMax))
      ->type_name("N");
  verb->add_option("-o,--io-size", bench.io_size,
                   "bytes of one command, also 4k or 1m (default 4096)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(1u, kIoSizeMax))
      ->type_name("BYTES");
  verb->add_option("-w,--workload", bench.workload,
                   "read, write, randread, randwrite, rw or randrw (default randread)")
      ->check(CLI::IsMember({"read", "write", "randread", "randwrite", "rw", "randrw"}))
      ->type_name("NAME");
  verb->add_option("-M,--read-percent", bench.read_percent, "reads in rw and randrw (default 50)")
      ->check(CLI::Range(0u, 100u))
      ->type_name("PERCENT");
  verb->add_option("-t,--seconds", bench.seconds, "how long (default 5)")
      ->check(CLI::Range(1u, kBenchSecondsMax))
      ->type_name("SECONDS");
  CLI::Option* lent = verb->add_flag("--lent", bench.lent, "reads are lent, without a copy");
  verb->add_flag_function(
          "--placed", [](std::int64_t) {},
          "reads are copied into the caller's buffer (the default)")
      ->excludes(lent);
  verb->add_flag("--registered", bench.registered,
                 "writes leave registered memory, without a copy");
  verb->add_option("--seed", bench.seed, "of the random workloads")->type_name("N");
}

void add_service_verbs(CLI::App& app, Options& options) {
  add_verb(app, options, "status", "Show what the service is and does", "  pollux status\n");
  CLI::App* stats = add_verb(app, options, "stats", "Show the service's counters",
                             "  pollux stats\n"
                             "  pollux stats --json\n"
                             "  pollux stats --prometheus > /var/lib/node_exporter/pollux.prom\n");
  stats->add_flag("--prometheus", options.prometheus, "print them in Prometheus' text format");
  CLI::App* top = add_verb(app, options, "top", "Watch what the workers do, until Ctrl-C",
                           "  pollux top\n"
                           "  pollux top --interval 5\n"
                           "  pollux top --count 10 --json\n");
  top->add_option("--interval", options.top.interval_s, "between two looks (default 1)")
      ->check(CLI::Range(kTopIntervalLeast, kTopIntervalMost))
      ->type_name("SECONDS");
  top->add_option("--count", options.top.count, "end after so many looks")
      ->check(CLI::Range(1u, UINT32_MAX))
      ->type_name("N");
}

void add_globals(CLI::App& app, Options& options) {
  app.add_option("--instance", options.service.instance, "which service (default 'default')")
      ->envname("POLLUX_INSTANCE")
      ->type_name("NAME");
  app.add_option("--socket", options.service.socket, "the service's socket, instead of --instance")
      ->envname("POLLUX_SOCKET")
      ->type_name("PATH");
  app.add_option("--timeout", options.timeout_s, "bound for each operation (default 30)")
      ->check(CLI::Range(1u, kTimeoutSecondsMax))
      ->type_name("SECONDS");
  app.add_flag("--json", options.json, "print JSON with a versioned schema");
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands(nullptr)) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  return near.empty() ? std::string{} : fmt::format(" Did you mean '{}'?", near);
}

/// The sentence for a word that belongs to nothing: a mistyped verb or option.
std::string unknown_word(const CLI::App& app, const std::string& word) {
  const auto chosen = app.get_subcommands();
  const bool is_option = word.size() > 1 && word.front() == '-';
  if (chosen.empty() && !is_option)
    return fmt::format("'{}' is not a pollux verb.{} 'pollux --help' lists the verbs.", word,
                       did_you_mean(word, verb_names(app)));
  const std::string verb = chosen.empty() ? "" : " " + chosen.front()->get_name();
  std::vector<std::string> names = option_names(app);
  if (!chosen.empty())
    for (std::string& name : option_names(*chosen.front())) names.push_back(std::move(name));
  const std::string bare = word.substr(0, word.find('='));
  return fmt::format("'{}' is not an {} of 'pollux{}'.{} 'pollux{} --help' lists them.", bare,
                     is_option ? "option" : "argument", verb,
                     is_option ? did_you_mean(bare, names) : "", verb);
}

std::string sentence_of(const CLI::App& app, const CLI::ParseError& error) {
  const auto extras = app.remaining(true);
  if (!extras.empty()) return unknown_word(app, extras.front());
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) return "Which verb? 'pollux --help' lists them.";
  return fmt::format("{}. 'pollux {} --help' says more.", error.what(), chosen.front()->get_name());
}

}  // namespace

ParsedArgs parse_args(std::vector<std::string> arguments) {
  ParsedArgs parsed;
  CLI::App app(
      "pollux: an iSCSI initiator in user space. Sessions live in the service; this program "
      "talks to it.",
      "pollux");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", "pollux " POLLUX_VERSION);
  app.footer(
      "Start here:\n"
      "  pollux discover 10.0.0.1\n"
      "  pollux login iscsi://10.0.0.1/iqn.2003-01.org.example:disk\n"
      "  pollux sessions\n"
      "'pollux VERB --help' shows the options of a verb and examples.");
  add_globals(app, parsed.options);
  add_session_verbs(app, parsed.options);
  add_scsi_verbs(app, parsed.options);
  add_io_verbs(app, parsed.options);
  add_bench_verb(app, parsed.options);
  add_service_verbs(app, parsed.options);

  std::reverse(arguments.begin(), arguments.end());  // the order CLI11 takes a vector in
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    parsed.text_instead = app.help();
    if (!chosen.empty()) parsed.text_instead = chosen.front()->help("pollux");
    return parsed;
  } catch (const CLI::CallForVersion& version) {
    parsed.text_instead = std::string(version.what()) + "\n";
    return parsed;
  } catch (const CLI::ParseError& error) {
    throw Failure(ExitCode::invalid_argument, sentence_of(app, error));
  }
  if (parsed.options.verb.empty())
    throw Failure(ExitCode::invalid_argument, "Which verb? 'pollux --help' lists them.");
  return parsed;
}

}  // namespace pollux::cli
