/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Pinned maps, the lock between two loaders, and where the cgroup hierarchy is. */
#include "loader.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void pin_path(char *path, size_t bytes, const struct options *options, const char *kind, const char *name)
{
	snprintf(path, bytes, "%s/%s/%s", options->pins, kind, name);
}

int open_map(const struct options *options, const char *name)
{
	char path[PATH_MAX];

	pin_path(path, sizeof(path), options, "maps", name);
	return bpf_obj_get(path);
}

int open_loaded(const struct options *options, const char *name, int *fd)
{
	*fd = open_map(options, name);
	if (*fd >= 0)
		return DONE;
	if (errno == ENOENT)
		return fail(NOT_LOADED, "not_loaded", "nothing is pinned under %s; run: hopgate-bpf-loader load",
			    options->pins);
	return fail(KERNEL, "pin_unreadable", "%s/maps/%s: %s", options->pins, name, strerror(errno));
}

/* Released when the process ends, however it ends. */
int lock_pins(const struct options *options)
{
	int fd = open(options->pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return fail(NOT_LOADED, "not_loaded", "there is no %s; run: hopgate-bpf-loader load", options->pins);
	if (fd < 0 || flock(fd, LOCK_EX))
		return fail(KERNEL, "lock", "%s can't be locked: %s", options->pins, strerror(errno));
	return DONE;
}

uint32_t class_identifier(int names, const char *name, bool create)
{
	struct class_name held;
	uint32_t unused = 0;

	for (uint32_t id = 1; id < CLASS_IDS; id++) {
		if (bpf_map_lookup_elem(names, &id, &held))
			return 0;
		if (!strncmp(held.text, name, IMAGE_NAME_BYTES))
			return id;
		if (!held.text[0] && !unused)
			unused = id;
	}
	if (!create || !unused)
		return 0;
	memset(&held, 0, sizeof(held));
	memcpy(held.text, name, strlen(name));
	return bpf_map_update_elem(names, &unused, &held, BPF_ANY) ? 0 : unused;
}

bool find_cgroup_root(const struct options *options, char *path, size_t bytes)
{
	char line[8192], point[4096];
	FILE *mounts;

	if (options->cgroup_root)
		return snprintf(path, bytes, "%s", options->cgroup_root) < (int)bytes;
	mounts = fopen("/proc/self/mountinfo", "re");
	while (mounts && fgets(line, sizeof(line), mounts)) {
		/* Where the root of the hierarchy itself is mounted, not a part of it. */
		if (sscanf(line, "%*s %*s %*s / %4095s", point) == 1 && strstr(line, " - cgroup2 ")) {
			fclose(mounts);
			return snprintf(path, bytes, "%s", point) < (int)bytes;
		}
	}
	if (mounts)
		fclose(mounts);
	return false;
}
