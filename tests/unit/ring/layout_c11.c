/* The public headers as C11: this file compiles, so their assertions hold for a C compiler too. */
#include "pollux/client.h"
#include "pollux/errors.h"
#include "pollux/iscsierr.h"
#include "pollux/iscsiop.h"
#include "pollux/operations.h"
#include "pollux/ring.h"

size_t c11_login_key_offset(uint32_t lun_count);
uint32_t c11_invalid_session_id(void);
int c11_encode_all(SendTargets_IN* in);

size_t c11_login_key_offset(uint32_t lun_count) { return POLLUX_LOGIN_KEY_OFFSET(lun_count); }

uint32_t c11_invalid_session_id(void) { return ISDSC_INVALID_SESSION_ID; }

int c11_encode_all(SendTargets_IN* in) {
  return pollux_text_encode(in->SendTargetsText,
                            sizeof in->SendTargetsText / sizeof in->SendTargetsText[0], "All");
}
