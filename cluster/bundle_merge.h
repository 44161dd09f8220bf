/* A deployment that adds functions to an app, or replaces some of them: what the app has and what
 * is new become one version. Any thread. */
#ifndef CLUSTER_BUNDLE_MERGE_H
#define CLUSTER_BUNDLE_MERGE_H

#include "base/err.h"
#include "cluster/app_version.h"

/* bundle_merge_version - put what the app has, `old`, into what is deployed: functions of other
 * names, and settings that the deployment leaves at their defaults. RAMET_EEXIST names a setting on
 * which both differ: all functions of an app share them. */
int bundle_merge_version(
	struct app_version *version, const struct app_version *old, struct ramet_err *err);

#endif
