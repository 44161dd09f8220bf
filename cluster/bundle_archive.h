/* A bundle's archive: made from a client's deploy message, checked, unpacked to disk. Any thread;
 * blocking. */
#ifndef CLUSTER_BUNDLE_ARCHIVE_H
#define CLUSTER_BUNDLE_ARCHIVE_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/app_version.h"

#include <stddef.h>
#include <sys/types.h>

#define BUNDLE_SANDBOX_DIR "/ramet/apps"
#define BUNDLE_ARCHIVE_MAX (CLIENT_MAX_BUNDLE + (4u << 20))
#define BUNDLE_MAX_DEPTH 32

/* bundle_pack_deploy - turn a client's deploy message (checked here, all of it) into an archive and
 * its version, whose only reference is the caller's. The files' data is copied. */
int bundle_pack_deploy(const struct wire_value *deploy, uid_t uid, gid_t gid,
	struct buf *ret_archive, struct app_version **ret_version, struct ramet_err *err);
/* bundle_pack_merged - the same of what an app has together with what is deployed: the archive at
 * base_path, which is that of the version base. RAMET_EEXIST names what is in conflict. */
int bundle_pack_merged(const struct wire_value *deploy, uid_t uid, gid_t gid, const char *base,
	const char *base_path, struct buf *ret_archive, struct app_version **ret_version,
	struct ramet_err *err);
/* bundle_path_check - relative, no "", "." or "..", no NUL or control characters, not too long or
 * deep */
int bundle_path_check(const char *path, size_t len, struct ramet_err *err);
/* bundle_check_name - the SHA-256 of an archive must be its version's name */
int bundle_check_name(const char *version, const void *archive, size_t len, struct ramet_err *err);
/* bundle_install - check an archive against its name and unpack it to <apps_dir>/<version>/, beside
 * <version>.bundle. 0 also if it was there. What fails leaves nothing. */
int bundle_install(const char *apps_dir, const char *version, const void *archive, size_t len,
	struct ramet_err *err);
/* bundle_delete - remove a version's archive and directory; what is not there is no error */
int bundle_delete(const char *apps_dir, const char *version, struct ramet_err *err);

#endif
