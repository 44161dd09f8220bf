/* The table of fault points that are switched on. Small and locked: it is reached only in tests. */
#include "base/fault.h"

#ifdef RAMET_FAULT_POINTS
#include "base/cleanup.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULT_SLOTS 16
#define FAULT_NAME_MAX 48

struct fault_slot {
	char name[FAULT_NAME_MAX];
	unsigned skip;
	unsigned left; /* UINT_MAX: every time */
};

atomic_bool fault_any;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault_slot slots[FAULT_SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct fault_slot *slot_find(const char *name)
{
	for (size_t i = 0; i < FAULT_SLOTS; i++)
		if (strcmp(slots[i].name, name) == 0)
			return &slots[i];
	return NULL;
}

static void slot_set(const char *name, unsigned skip, unsigned count)
{
	if (!name[0] || strlen(name) >= FAULT_NAME_MAX)
		return;
	pthread_mutex_lock(&lock);
	struct fault_slot *slot = slot_find(name);
	if (!slot && count)
		slot = slot_find("");
	if (slot) {
		*slot = (struct fault_slot){.skip = skip, .left = count};
		if (count)
			snprintf(slot->name, sizeof(slot->name), "%s", name);
	}
	bool any = false;
	for (size_t i = 0; i < FAULT_SLOTS; i++)
		any |= slots[i].name[0] != '\0';
	atomic_store(&fault_any, any);
	pthread_mutex_unlock(&lock);
}

static void slot_parse(char *spec)
{
	char *skip = strchr(spec, ':');
	char *count = NULL;
	if (skip) {
		*skip++ = '\0';
		count = strchr(skip, ':');
		if (count)
			*count++ = '\0';
	}
	slot_set(spec, skip ? (unsigned)strtoul(skip, NULL, 10) : 0,
		count ? (unsigned)strtoul(count, NULL, 10) : UINT_MAX);
}

static void read_environment(void)
{
	const char *env = getenv("RAMET_FAULT");
	auto_free char *copy = env ? strdup(env) : NULL;
	if (!copy)
		return;
	char *rest = NULL;
	for (char *spec = strtok_r(copy, ",", &rest); spec; spec = strtok_r(NULL, ",", &rest))
		slot_parse(spec);
}

void fault_init(void)
{
	pthread_once(&once, read_environment);
}

void fault_set(const char *name, unsigned skip, unsigned count)
{
	fault_init();
	slot_set(name, skip, count);
}

bool fault_hit_slow(const char *name)
{
	bool hit = false;
	pthread_mutex_lock(&lock);
	struct fault_slot *slot = slot_find(name);
	if (slot && slot->skip) {
		slot->skip--;
	} else if (slot && slot->left) {
		hit = true;
		if (slot->left != UINT_MAX)
			slot->left--;
	}
	pthread_mutex_unlock(&lock);
	return hit;
}

#else

void fault_init(void)
{
}

void fault_set(const char *name, unsigned skip, unsigned count)
{
	(void)name, (void)skip, (void)count;
}

#endif
