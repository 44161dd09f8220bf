/* The record of a template in ramet-spawn, shared by building (spawn_templates.c) and cloning
 * (spawn_clones.c). */
#ifndef RUNTIME_SPAWN_SPAWN_TEMPLATE_H
#define RUNTIME_SPAWN_SPAWN_TEMPLATE_H

#include "rfork/template.h"
#include "runtime/spawn/spawn_internal.h"

struct spawn_template_record {
	struct child child;
	struct idmap_node node; /* key: tmpl */
	struct spawn_server *server;
	struct template *stub;
	struct membership of; /* clones are born into the same */
	struct sandbox_pool *pool; /* and into a sandbox of this one; NULL: none here */
	int uffd; /* -1: none */
	bool recorder; /* the events of its clones are read here: no pager has them */
	struct loop_watch watch; /* of uffd */
	bool built;
	struct sandbox *next; /* the stub is ready for it; NULL: none */
};
void spawn_template_destroy(struct spawn_template_record *record); /* NULL is fine */
DEFINE_CLEANUP(struct spawn_template_record, spawn_template_destroy)

#endif
