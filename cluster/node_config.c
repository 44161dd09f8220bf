/* rametd's configuration: the schema of its file. See node_config.h. */
#include "cluster/node_config.h"

#include "base/cleanup.h"
#include "base/conf.h"
#include "base/err.h"
#include "cluster/node_config_file.h"

#include <stdlib.h>

#define OPTIONAL_TEXT(type, key) \
	CYAML_FIELD_STRING_PTR( \
		#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, key, 1, CYAML_UNLIMITED)
#define OPTIONAL_UINT(type, key) CYAML_FIELD_UINT(#key, CYAML_FLAG_OPTIONAL, type, key)

static const cyaml_schema_field_t peer_fields[] = {
	CYAML_FIELD_UINT("node", CYAML_FLAG_DEFAULT, struct raw_peer, node),
	CYAML_FIELD_STRING_PTR(
		"listen", CYAML_FLAG_POINTER, struct raw_peer, listen, 1, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t peer_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_peer, peer_fields),
};

static const cyaml_schema_field_t rdma_fields[] = {
	OPTIONAL_TEXT(struct raw_rdma, device),
	OPTIONAL_UINT(struct raw_rdma, port),
	OPTIONAL_UINT(struct raw_rdma, gid_index),
	OPTIONAL_UINT(struct raw_rdma, mtu),
	OPTIONAL_UINT(struct raw_rdma, service_level),
	OPTIONAL_UINT(struct raw_rdma, traffic_class),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t pools_fields[] = {
	OPTIONAL_UINT(struct raw_pools, sandboxes),
	OPTIONAL_UINT(struct raw_pools, stubs),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tenant_fields[] = {
	OPTIONAL_UINT(struct raw_tenant, instances),
	OPTIONAL_UINT(struct raw_tenant, queue),
	OPTIONAL_UINT(struct raw_tenant, pids),
	OPTIONAL_TEXT(struct raw_tenant, memory),
	OPTIONAL_TEXT(struct raw_tenant, cache),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
	CYAML_FIELD_MAPPING(
		"tenant", CYAML_FLAG_OPTIONAL, struct raw_limits, tenant, tenant_fields),
	OPTIONAL_UINT(struct raw_limits, capacity),
	OPTIONAL_UINT(struct raw_limits, instances),
	OPTIONAL_UINT(struct raw_limits, queue),
	OPTIONAL_TEXT(struct raw_limits, idle),
	OPTIONAL_TEXT(struct raw_limits, host_idle),
	OPTIONAL_TEXT(struct raw_limits, start),
	OPTIONAL_TEXT(struct raw_limits, silence),
	OPTIONAL_TEXT(struct raw_limits, deadline),
	OPTIONAL_TEXT(struct raw_limits, store),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_UINT("node", CYAML_FLAG_DEFAULT, struct raw_config, node),
	OPTIONAL_TEXT(struct raw_config, name),
	OPTIONAL_TEXT(struct raw_config, dir),
	OPTIONAL_TEXT(struct raw_config, hide),
	OPTIONAL_TEXT(struct raw_config, client_socket),
	OPTIONAL_TEXT(struct raw_config, listen),
	OPTIONAL_TEXT(struct raw_config, data),
	OPTIONAL_TEXT(struct raw_config, transport),
	OPTIONAL_TEXT(struct raw_config, pager),
	OPTIONAL_TEXT(struct raw_config, checksums),
	OPTIONAL_TEXT(struct raw_config, log_level),
	OPTIONAL_TEXT(struct raw_config, python),
	OPTIONAL_TEXT(struct raw_config, environments),
	CYAML_FIELD_MAPPING("rdma", CYAML_FLAG_OPTIONAL, struct raw_config, rdma, rdma_fields),
	CYAML_FIELD_MAPPING("pools", CYAML_FLAG_OPTIONAL, struct raw_config, pools, pools_fields),
	CYAML_FIELD_MAPPING(
		"limits", CYAML_FLAG_OPTIONAL, struct raw_config, limits, limits_fields),
	CYAML_FIELD_SEQUENCE("peers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_config,
		peers, &peer_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, fields),
};

int node_config_load(const char *file, struct node_config *ret_config, struct ramet_err *err)
{
	auto_free struct node_config *config = calloc(1, sizeof(*config));
	void *loaded;
	if (!config)
		return err_nomem(err);
	int rc = conf_load_file(file, &schema, &loaded, err);
	if (rc < 0)
		return rc;
	rc = node_config_check(file, loaded, config, err);
	conf_free(&schema, loaded);
	if (rc == 0)
		*ret_config = *config;
	return rc;
}
