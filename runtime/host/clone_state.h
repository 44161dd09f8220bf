/* What each clone writes of the host's variables lies together in one page: a page costs a clone
 * its copy when it begins and its return when it ends, and a call in a fresh instance has few
 * others. */
#ifndef RUNTIME_HOST_CLONE_STATE_H
#define RUNTIME_HOST_CLONE_STATE_H

/* on a variable with static storage; not for large ones */
#define HOST_CLONE_STATE __attribute__((section("ramet_clone_state")))
#define HOST_CLONE_STATE_BYTES 4096 /* all of them together: more is only slower */

#endif
