/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which cgroup belongs to which class. */
#include "loader.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP2_SUPER_MAGIC 0x63677270

/* How many directories below the root of the hierarchy; -1: not in it. */
static int level_of(const char *root, const char *cgroup)
{
	char above[PATH_MAX], below[PATH_MAX];
	size_t bytes;
	int level = 0;

	if (!realpath(root, above) || !realpath(cgroup, below))
		return -1;
	bytes = strcmp(above, "/") ? strlen(above) : 0;
	if (strncmp(above, below, bytes) || (below[bytes] && below[bytes] != '/'))
		return -1;
	for (const char *at = below + bytes; *at; at++)
		level += *at == '/';
	return level;
}

/* The identifier of a cgroup is its inode number (64-bit kernels). */
static int identify(const struct options *options, const char *cgroup, uint64_t *id)
{
	struct statfs system;
	struct stat stat_;
	char root[PATH_MAX];
	int level;

	if (statfs(cgroup, &system) || stat(cgroup, &stat_))
		return fail(REFUSED, "cgroup", "%s: %s", cgroup, strerror(errno));
	if ((uint32_t)system.f_type != CGROUP2_SUPER_MAGIC || !S_ISDIR(stat_.st_mode))
		return fail(REFUSED, "cgroup", "%s is no cgroup of version 2", cgroup);
	if (!find_cgroup_root(options, root, sizeof(root)))
		return fail(KERNEL, "no_cgroup2", "no cgroup v2 hierarchy is mounted");
	level = level_of(root, cgroup);
	if (level < 1)
		return fail(REFUSED, "cgroup", "%s isn't below %s; the root itself can't belong to a class", cgroup,
			    root);
	if (level > CGROUP_LEVELS)
		return fail(REFUSED, "cgroup", "%s is %d levels deep; at most %d", cgroup, level, CGROUP_LEVELS);
	*id = stat_.st_ino;
	return DONE;
}

/* Every task looks again for its class after this. */
static int announce(const struct options *options)
{
	uint32_t key = CONTROL_JOINS;
	uint64_t joins;
	int control, status = open_loaded(options, "control", &control);

	if (status)
		return status;
	if (bpf_map_lookup_elem(control, &key, &joins))
		return fail(KERNEL, "map", "control: %s", strerror(errno));
	joins++;
	return bpf_map_update_elem(control, &key, &joins, BPF_ANY) ?
		       fail(KERNEL, "map", "control: %s", strerror(errno)) : DONE;
}

int run_join(const struct options *options, const char *class, const char *cgroup)
{
	int names, cgroups, status;
	uint64_t id;
	uint32_t number;

	if (!is_class_name(class, strlen(class)))
		return fail(REFUSED, "class", "a class is named by 1 to %u of: letters, digits, . _ : / -",
			    IMAGE_NAME_BYTES - 1);
	if ((status = lock_pins(options)) || (status = open_loaded(options, "names", &names)) ||
	    (status = open_loaded(options, "cgroups", &cgroups)) || (status = identify(options, cgroup, &id)))
		return status;
	number = class_identifier(names, class, true);
	if (!number)
		return fail(REFUSED, "classes_full", "no identifier is left for class %s: %u names since load", class,
			    CLASS_IDS - 1);
	if (bpf_map_update_elem(cgroups, &id, &number, BPF_ANY))
		return errno == E2BIG ? fail(REFUSED, "cgroups_full", "no room for %s: leave cgroups that are gone",
					     cgroup) :
					fail(KERNEL, "map", "cgroups: %s", strerror(errno));
	return announce(options);
}

int run_leave(const struct options *options, const char *cgroup)
{
	int cgroups, status;
	uint64_t id;

	if ((status = lock_pins(options)) || (status = open_loaded(options, "cgroups", &cgroups)) ||
	    (status = identify(options, cgroup, &id)))
		return status;
	if (bpf_map_delete_elem(cgroups, &id))
		return errno == ENOENT ? fail(REFUSED, "cgroup", "%s belongs to no class", cgroup) :
					 fail(KERNEL, "map", "cgroups: %s", strerror(errno));
	return announce(options);
}
