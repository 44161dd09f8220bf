/* Work on a thread that may be told to give up: what takes long looks, and ends early. */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>

/* cancel_watch - from now on this thread's work ends early once *flag is set; NULL: it never does,
 * as at first. The flag outlives its use. */
void cancel_watch(const atomic_bool *flag);
bool cancel_asked(void); /* of this thread */

#endif
