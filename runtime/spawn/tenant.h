/* Tenants: one network, IPC and UTS namespace for all processes of a tenant on this node, kept by a
 * sleeping process, so that its pidfd is what to join. Making a network namespace takes about a
 * millisecond. Loop thread only. */
#ifndef RUNTIME_SPAWN_TENANT_H
#define RUNTIME_SPAWN_TENANT_H

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/spawn/reaper.h"

#include <sys/types.h>

struct tenants;

struct tenant {
	struct child holder;
	struct tenants *tenants;
	struct list link;
	uid_t uid;
	int pidfd; /* join with setns(pidfd, TENANT_NAMESPACES) */
	unsigned refs;
};
#define TENANT_NAMESPACES (CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) /* <sched.h> */

int tenants_create(struct reaper *reaper, struct tenants **ret_tenants, struct ramet_err *err);
/* kills the holders, which are not reaped; nobody may hold a tenant; NULL is fine */
void tenants_destroy(struct tenants *tenants);
DEFINE_CLEANUP(struct tenants, tenants_destroy)
/* tenant_get - the tenant's namespaces, made now if it has none. They stay for a while after the
 * last tenant_put(). */
int tenant_get(
	struct tenants *tenants, uid_t uid, struct tenant **ret_tenant, struct ramet_err *err);
struct tenant *tenant_ref(struct tenant *tenant); /* one that is held; NULL is fine */
void tenant_put(struct tenant *tenant); /* NULL is fine */
DEFINE_CLEANUP(struct tenant, tenant_put)

#endif
