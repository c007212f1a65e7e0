/* Every public header stands alone as C11, and the structures of the ABI keep their sizes and
 * offsets. */
#include <assert.h>
#include <pollux/client.h>
#include <pollux/errors.h>
#include <pollux/iscsierr.h>
#include <pollux/iscsiop.h>
#include <pollux/operations.h>
#include <pollux/pollux.h>
#include <pollux/ring.h>
#include <stddef.h>

static_assert(sizeof(pollux_command) == 72, "pollux_command");
static_assert(offsetof(pollux_command, session) == 16 && offsetof(pollux_command, iov) == 40,
              "pollux_command");
static_assert(sizeof(pollux_completion) == 88, "pollux_completion");
static_assert(offsetof(pollux_completion, result) == 16 && offsetof(pollux_completion, sense) == 48,
              "pollux_completion");
static_assert(sizeof(pollux_view) == 16, "pollux_view");
static_assert(sizeof(pollux_options) == 96, "pollux_options");
static_assert(sizeof(pollux_login_options) == 64, "pollux_login_options");
static_assert(sizeof(pollux_queue_options) == 64, "pollux_queue_options");
static_assert(sizeof(pollux_error) == 508, "pollux_error");
static_assert(sizeof(pollux_worker_stats) == 328, "pollux_worker_stats");
static_assert(offsetof(pollux_worker_stats, away_cycles) == 104, "its first version ended here");
static_assert(sizeof(SendTargets_IN) == 456 && sizeof(LogoutFromTarget_IN) == 8,
              "MSiSCSI_Operations");

int pollux_headers_compile_as_c(void) { return POLLUX_OK; }
