/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Taking pins away, which detaches what they hold. */
#include "loader.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static int remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char below[PATH_MAX];

	if (!directory)
		return errno == ENOENT ? DONE : fail(KERNEL, "pins", "%s: %s", path, strerror(errno));
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below) ||
		    unlink(below)) {
			int error = errno;

			closedir(directory);
			return fail(KERNEL, "pins", "%s can't be removed: %s", below, strerror(error));
		}
	}
	closedir(directory);
	return rmdir(path) ? fail(KERNEL, "pins", "%s can't be removed: %s", path, strerror(errno)) : DONE;
}

int remove_pins(const struct options *options)
{
	/* Links first: whatever happens then, nothing judges by maps that are half gone. */
	static const char *const kinds[] = { "links", "programs", "maps" };
	char path[PATH_MAX];
	int status = DONE;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && !status; i++) {
		snprintf(path, sizeof(path), "%s/%s", options->pins, kinds[i]);
		status = remove_directory(path);
	}
	return status;
}

int run_unload(const struct options *options)
{
	int status = lock_pins(options);

	if (status || (status = remove_pins(options)))
		return status;
	if (rmdir(options->pins))
		return fail(KERNEL, "pins", "%s can't be removed: %s", options->pins, strerror(errno));
	return DONE;
}
