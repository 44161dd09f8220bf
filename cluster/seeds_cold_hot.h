/* Hot starts: with samples, a cold start takes several generations of a seed from one host (before
 * the samples, after each function had them once, and, where a language compiles what is called
 * often, when more of them bring nothing), calls clones of each, and keeps the generation whose
 * first calls are best. Which one that is depends on the program, so it is measured (Kohli et al.,
 * "Pronghorn", EuroSys 2024, ask the same of checkpoints). What was measured is told. */
#ifndef CLUSTER_SEEDS_COLD_HOT_H
#define CLUSTER_SEEDS_COLD_HOT_H

#include "base/err.h"
#include "cluster/instances.h"

#include <stdbool.h>

struct cold;
struct hot;
struct seed_captured;

/* hot_begin - the host is loaded; it is captured for the first time. RAMET_ENOMEM, or what sending
 * gave */
int hot_begin(struct cold *cold, struct ramet_err *err);
void hot_destroy(struct hot *hot); /* NULL is fine */
/* hot_captured - a generation was read; takes the image. More follow, or cold_captured() */
int hot_captured(struct hot *hot, struct seed_captured *captured, struct ramet_err *err);
/* hot_sampled - the host has answered a sample */
int hot_sampled(struct hot *hot, const struct instance_result *result, struct ramet_err *err);

#endif
