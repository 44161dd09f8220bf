/* Reading the parts of requests. rametd is trusted, but lengths and types are checked all the same.
 */
#include "runtime/spawn/spawn_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int get_tenant(const struct wire_value *body, struct membership *of,
	struct spawn_limits *ret_limits, struct ramet_err *err)
{
	const struct wire_value *tenant;
	uint64_t uid = 0, gid = 0, pids = 0;
	*ret_limits = (struct spawn_limits){0};
	int rc = wire_get_map(body, "tenant", &tenant, err);
	if (rc == 0)
		rc = wire_get_uint(tenant, "uid", UINT32_MAX - 1, &uid, err);
	if (rc == 0)
		rc = wire_get_uint(tenant, "gid", UINT32_MAX - 1, &gid, err);
	if (rc == 0)
		rc = wire_get_uint_or(tenant, "mem", INT64_MAX, 0, &ret_limits->mem, err);
	if (rc == 0)
		rc = wire_get_uint_or(tenant, "pids", UINT32_MAX, 0, &pids, err);
	if (rc < 0)
		return rc;
	ret_limits->pids = (uint32_t)pids;
	of->uid = (uid_t)uid;
	of->gid = (gid_t)gid;
	return 0;
}

static int get_limits(
	const struct wire_value *body, struct spawn_limits *ret, struct ramet_err *err)
{
	const struct wire_value *limits;
	uint64_t pids = 0, cpu = 0;
	*ret = (struct spawn_limits){0};
	if (!wire_has(body, "limits"))
		return 0;
	int rc = wire_get_map(body, "limits", &limits, err);
	if (rc == 0)
		rc = wire_get_uint_or(limits, "mem", INT64_MAX, 0, &ret->mem, err);
	if (rc == 0)
		rc = wire_get_uint_or(limits, "pids", UINT32_MAX, 0, &pids, err);
	if (rc == 0)
		rc = wire_get_uint_or(limits, "cpu", UINT32_MAX, 0, &cpu, err);
	if (rc == 0)
		rc = wire_get_bool_or(limits, "isolates", false, &ret->isolates, err);
	if (rc < 0)
		return rc;
	ret->pids = (uint32_t)pids;
	ret->cpu = (uint32_t)cpu;
	return 0;
}

int spawn_get_membership(struct spawn_server *server, const struct wire_value *body,
	struct membership *ret_of, struct ramet_err *err)
{
	struct membership of = {0};
	struct cgroup_wish wish = {0};
	char group[SPAWN_NAME_MAX];
	int rc = get_tenant(body, &of, &wish.tenant, err);
	if (rc == 0)
		rc = get_limits(body, &wish.limits, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "group", "", group, sizeof(group), err);
	if (rc < 0)
		return rc;
	if (!server->root && of.uid != getuid())
		return err_set(err, RAMET_EPERM,
			"a node that does not run as root serves its own user (%u) only", getuid());
	if (!server->root)
		of.gid = getgid();
	wish.name = group;
	wish.uid = of.uid;
	if (server->tenants)
		rc = tenant_get(server->tenants, of.uid, &of.tenant, err);
	if (rc == 0)
		rc = cgroup_get(server->cgroups, &wish, &of.group, err);
	if (rc < 0) {
		membership_put(&of);
		return rc;
	}
	of.isolates = wish.limits.isolates;
	*ret_of = of;
	return 0;
}

/* the bytes that the strings need, with their terminators */
static int measure(const struct wire_value *array, uint32_t count, const char *key,
	size_t *ret_bytes, struct ramet_err *err)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < count; i++) {
		const char *text;
		size_t len;
		int rc = wire_as_span(wire_at(array, i), &text, &len, err);
		if (rc < 0)
			return rc;
		if (memchr(text, '\0', len))
			return err_set(err, RAMET_EPROTO, "%s: item %u holds a NUL byte", key, i);
		bytes += len + 1;
	}
	*ret_bytes = bytes;
	return 0;
}

int spawn_get_strings(const struct wire_value *body, const char *key, char ***ret_strings,
	uint32_t *ret_count, struct ramet_err *err)
{
	const struct wire_value *array = NULL;
	uint32_t count = 0;
	size_t bytes = 0;
	int rc = wire_has(body, key) ? wire_get_array(body, key, &array, &count, err) : 0;
	if (rc == 0)
		rc = measure(array, count, key, &bytes, err);
	if (rc < 0)
		return rc;
	char **strings = malloc((count + 1) * sizeof(*strings) + bytes);
	if (!strings)
		return err_nomem(err);
	char *to = (char *)(strings + count + 1);
	for (uint32_t i = 0; i < count; i++) {
		const char *text;
		size_t len;
		(void)wire_as_span(wire_at(array, i), &text, &len, NULL);
		strings[i] = to;
		memcpy(to, text, len);
		to[len] = '\0';
		to += len + 1;
	}
	strings[count] = NULL;
	*ret_strings = strings;
	*ret_count = count;
	return 0;
}
