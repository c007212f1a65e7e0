/* Error codes of libpollux and libpollux-client. Functions return them negative. */
#ifndef POLLUX_ERRORS_H
#define POLLUX_ERRORS_H

enum pollux_errc {
  POLLUX_OK = 0,
  POLLUX_EINVAL = -1,        /* an argument is malformed */
  POLLUX_EAGAIN = -2,        /* no room now; process completions and try again */
  POLLUX_ENOMEM = -3,        /* memory or pool limit reached at set-up */
  POLLUX_EBUSY = -4,         /* still in use */
  POLLUX_ETIMEDOUT = -5,     /* not done within the time-out */
  POLLUX_ENOSESSION = -6,    /* no such session, or it is gone */
  POLLUX_ESESSION_LOST = -7, /* the connection ended before the command did */
  POLLUX_EABORTED = -8,      /* ended by logout or close */
  POLLUX_EPROTO = -9,        /* the target broke the protocol on this command */
  POLLUX_ETARGET = -10, /* the target reported a failure to carry the command out (response code) */
  POLLUX_ECONFIG = -11, /* the configuration cannot be used */
  POLLUX_ELOGIN = -12,  /* login failed */
  POLLUX_ECONNECT = -13,  /* the portal could not be reached */
  POLLUX_ESERVICE = -14,  /* no service listens there, or it ended */
  POLLUX_EACCES = -15,    /* not permitted */
  POLLUX_EVERSION = -16,  /* client and service speak different versions */
  POLLUX_ETOOSMALL = -17, /* output does not fit; the needed size is reported */
  POLLUX_ECANCELED = -18, /* canceled by the caller */
  POLLUX_EINTERNAL = -19,
  POLLUX_ETOOLARGE = -20, /* more than this channel can ever carry */
  POLLUX_ENOTSUP = -21,   /* the service does not offer this operation */
  POLLUX_ENOTFOUND = -22, /* no such command is in flight */
};

#endif /* POLLUX_ERRORS_H */
