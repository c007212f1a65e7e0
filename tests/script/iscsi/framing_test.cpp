// FRM rows of the conformance page: how PDUs are cut out of the stream and put on it.
#include <gtest/gtest.h>

#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

TEST(Framing, AliveAndAtRest) {
  Script s;
  s.expect_alive();
}

}  // namespace
}  // namespace pollux::script
