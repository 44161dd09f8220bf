/* What hosts without an engine say when they have left a shadow. */
#ifndef TESTS_RFORK_SEND_SHADOW_H
#define TESTS_RFORK_SEND_SHADOW_H

struct safepoint_shadow;

/* send_shadow - {state, stall} and both descriptors to the control socket, 3; 0 or -1 */
int send_shadow(const struct safepoint_shadow *shadow);

#endif
