// Golden output of tables, sizes, dumps and progress lines; "did you mean".
#include "control/cli/render.hpp"

#include <gtest/gtest.h>

#include "control/cli/args.hpp"
#include "control/cli/failure.hpp"
#include "control/cli/progress.hpp"
#include "control/cli/session_list.hpp"
#include "control/cli/suggest.hpp"

namespace pollux::cli {
namespace {

TEST(Render, TableColumnsAreAligned) {
  Table table({"LUN", "TYPE", "SIZE"});
  table.add({"0", "disk", "64.0 MiB"});
  table.add({"100", "-"});
  EXPECT_EQ(table.text(),
            "LUN  TYPE  SIZE\n"
            "0    disk  64.0 MiB\n"
            "100  -\n");
}

TEST(Render, Sizes) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1024), "1.0 KiB");
  EXPECT_EQ(human_size(64u << 20), "64.0 MiB");
  EXPECT_EQ(human_size(UINT64_MAX), "16.0 EiB");
}

TEST(Render, DocumentsBeginWithTheirSchema) {
  Json json = document("sessions");
  json["sessions"] = Json::array();
  EXPECT_EQ(text_of(json), "{\n  \"schema\": \"pollux.sessions/1\",\n  \"sessions\": []\n}\n");
}

TEST(Render, HexDump) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < 18; ++i) bytes.push_back(static_cast<std::byte>(0x3f + i));
  EXPECT_EQ(hex_dump(bytes),
            "0000  3f 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e  ?@ABCDEFGHIJKLMN\n"
            "0010  4f 50                                            OP\n");
}

TEST(Render, PeerTextIsHarmless) { EXPECT_EQ(clean("a\x1b[2Jb").find('\x1b'), std::string::npos); }

TEST(Render, FlattenIsOneLineALeaf) {
  EXPECT_EQ(flatten(Json::parse(R"({"a": {"b": [1, "x"]}, "long": true})")),
            "a.b.0  1\n"
            "a.b.1  x\n"
            "long   true\n");
}

TEST(Render, SessionsTable) {
  SessionRow session;
  session.id = 0x5e1f000000000001;
  session.target = "iqn.2003-01.org.example:disk";
  session.connections.emplace_back();
  session.connections[0].state = ISCSI_CONNECTION_STATE_FULL_FEATURE;
  session.connections[0].header_digest = true;
  session.connections[0].remote = {"10.0.0.1", 3260};
  EXPECT_EQ(sessions_table({session}),
            "SESSION             TYPE    STATE      PORTAL         DIGESTS      WORKER  TARGET\n"
            "0x5e1f000000000001  normal  logged in  10.0.0.1:3260  crc32c/none  -       "
            "iqn.2003-01.org.example:disk\n");
  session.worker = 12;
  EXPECT_NE(sessions_table({session}).find("crc32c/none  12      iqn"), std::string::npos);
  session.connections.clear();
  EXPECT_NE(sessions_table({session}).find("not connected"), std::string::npos);
}

TEST(Progress, Line) {
  using std::chrono::milliseconds;
  EXPECT_EQ(progress_line("read", 0, 1024, milliseconds(0)),
            "read [                        ]   0%  0 B");
  EXPECT_EQ(progress_line("read", 32u << 20, 64u << 20, milliseconds(2000)),
            "read [============            ]  50%  32.0 MiB  16.0 MiB/s  ETA 0:02");
  EXPECT_EQ(progress_line("read", 64u << 20, 64u << 20, milliseconds(4000)),
            "read [========================] 100%  64.0 MiB  16.0 MiB/s");
  EXPECT_EQ(progress_line("write", 1u << 20, std::nullopt, milliseconds(1000)),
            "write  1.0 MiB  1.0 MiB/s");
}

TEST(Suggest, SlipsOfTheFinger) {
  const std::vector<std::string> verbs = {"login", "logout", "sessions", "send-targets"};
  EXPECT_EQ(nearest("logn", verbs), "login");
  EXPECT_EQ(nearest("session", verbs), "sessions");
  EXPECT_EQ(nearest("lgoout", verbs), "logout");
  EXPECT_EQ(nearest("frobnicate", verbs), "");
}

std::string refusal(std::vector<std::string> arguments) {
  try {
    (void)parse_args(std::move(arguments));
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.code(), ExitCode::invalid_argument);
    return failure.what();
  }
  return "taken";
}

TEST(Args, MistypedWordsAreNamed) {
  EXPECT_NE(refusal({"logni"}).find("Did you mean 'login'?"), std::string::npos);
  EXPECT_NE(refusal({"sessions", "--jsno"}).find("Did you mean '--json'?"), std::string::npos);
  EXPECT_NE(refusal({"bench", "0x1/0", "--io-sise", "4k"}).find("'--io-size'"), std::string::npos);
  EXPECT_NE(refusal({}).find("Which verb?"), std::string::npos);
  EXPECT_NE(refusal({"bench", "0x1/0", "-q", "0"}), "taken");
  EXPECT_NE(refusal({"bench", "0x1/0", "--lent", "--placed"}), "taken");
  EXPECT_NE(refusal({"login", "--header-digest", "md5"}), "taken");
  EXPECT_NE(refusal({"read", "0x1/0"}), "taken");  // no --output
}

TEST(Args, OptionsOfAllKinds) {
  const Options options = parse_args({"bench", "disk/0", "--json", "-q", "7", "-o", "64k", "-w",
                                      "randrw", "-M", "70", "-t", "2", "--timeout", "9", "--lent"})
                              .options;
  EXPECT_EQ(options.verb, "bench");
  EXPECT_EQ(options.subject, "disk/0");
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.bench.queue_depth, 7u);
  EXPECT_EQ(options.bench.io_size, 65536u);
  EXPECT_EQ(options.bench.read_percent, 70u);
  EXPECT_TRUE(options.bench.lent);
  EXPECT_EQ(options.deadline_ms(), 9000u);
  EXPECT_EQ(parse_args({"inquiry", "1/0", "--vpd", "0x83"}).options.vpd_page, 0x83u);
}

TEST(Args, HelpAndVersion) {
  EXPECT_NE(parse_args({"--help"}).text_instead->find("send-targets"), std::string::npos);
  EXPECT_NE(parse_args({"bench", "--help"}).text_instead->find("-M"), std::string::npos);
  EXPECT_NE(parse_args({"bench", "--help"}).text_instead->find("Examples:"), std::string::npos);
  EXPECT_EQ(parse_args({"--version"}).text_instead->rfind("pollux ", 0), 0u);
}

}  // namespace
}  // namespace pollux::cli
