/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From forbidden literal paths to the inodes that are there now. */
#include "loader.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define BTRFS_SUPER_MAGIC 0x9123683E
#define MOUNT_LINE 8192
#define WALKED 200000 /* files below the forbidden directories of one class that are looked at for other names */

static bool grow(struct resolved *resolved)
{
	/* Doubled whenever it is a power of two: full. */
	uint32_t count = resolved->count;
	uint32_t room = count ? count * 2 : 1;
	void *keys, *values;

	if (count & (count - 1))
		return true;
	keys = realloc(resolved->keys, room * sizeof(*resolved->keys));
	if (keys)
		resolved->keys = keys;
	values = realloc(resolved->values, room * sizeof(*resolved->values));
	if (values)
		resolved->values = values;
	return keys && values;
}

/* Two anchors on one inode forbid what either does. */
static bool add(struct resolved *resolved, const struct stat *stat, const struct image_anchor *anchor)
{
	struct anchor_key key = { .inode = stat->st_ino,
				  .device = major(stat->st_dev) << 20 | minor(stat->st_dev) };
	uint32_t i = 0;

	while (i < resolved->count && memcmp(&resolved->keys[i], &key, sizeof(key)))
		i++;
	if (i == resolved->count) {
		if (!grow(resolved))
			return false;
		resolved->keys[i] = key;
		resolved->values[i] = (struct anchor){ .policy = anchor->policy };
		resolved->count++;
	}
	resolved->values[i].self |= anchor->mask;
	if (anchor->prefix)
		resolved->values[i].below |= anchor->mask;
	return true;
}

/*
 * A file that has more than one name may have one outside of the forbidden directory, with none of its directories
 * above it: such files are anchored one by one.
 */
static bool walk(struct resolved *resolved, const char *path, const struct image_anchor *anchor)
{
	char *roots[] = { (char *)path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	bool added = tree != NULL;
	FTSENT *entry;

	while (added && (entry = fts_read(tree))) {
		if (resolved->walked++ >= WALKED) {
			resolved->unwalked++;
			break;
		}
		if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS)
			resolved->unwalked++;
		else if (entry->fts_info == FTS_F && entry->fts_statp->st_nlink > 1)
			added = add(resolved, entry->fts_statp, anchor);
	}
	if (tree)
		fts_close(tree);
	return added;
}

static bool resolve(struct resolved *resolved, const char *path, const struct image_anchor *anchor)
{
	struct statfs system;
	struct stat stat_;

	if (stat(path, &stat_) || statfs(path, &system)) {
		resolved->missing++;
		return true;
	}
	/* What stat calls the device there is made up for user space: the kernel's own number is another. */
	if (system.f_type == BTRFS_SUPER_MAGIC) {
		resolved->untracked++;
		return true;
	}
	return add(resolved, &stat_, anchor) &&
	       (!anchor->prefix || !S_ISDIR(stat_.st_mode) || walk(resolved, path, anchor));
}

/* mountinfo writes blanks and backslashes of a path as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
}

/* A file system mounted below a forbidden directory has a root of its own, by which an alias could reach it. */
static bool resolve_mounts(struct resolved *resolved, const struct image *image, const struct image_class *class)
{
	char line[MOUNT_LINE], point[MOUNT_LINE];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	if (!mounts)
		return false;
	while (fgets(line, sizeof(line), mounts)) {
		const uint8_t *at = image->bytes + class->anchor_offset;

		if (sscanf(line, "%*s %*s %*s %*s %8191s", point) != 1)
			continue;
		unescape(point);
		for (uint32_t i = 0; i < class->anchor_count; i++) {
			const struct image_anchor *anchor = (const void *)at;
			size_t bytes = anchor->path_bytes;

			at += anchor->record_bytes;
			if (!anchor->prefix || strncmp(point, anchor->path, bytes) || point[bytes] != '/')
				continue;
			if (!resolve(resolved, point, anchor)) {
				fclose(mounts);
				return false;
			}
		}
	}
	fclose(mounts);
	return true;
}

int resolve_anchors(const struct image *image, const struct image_class *class, struct resolved *resolved)
{
	const uint8_t *at = image->bytes + class->anchor_offset;

	memset(resolved, 0, sizeof(*resolved));
	for (uint32_t i = 0; i < class->anchor_count; i++) {
		const struct image_anchor *anchor = (const void *)at;

		if (!resolve(resolved, anchor->path, anchor))
			return fail(KERNEL, "no_memory", "anchors of class %s: %s", class->name, strerror(errno));
		at += anchor->record_bytes;
	}
	if (class->anchor_count && !resolve_mounts(resolved, image, class))
		return fail(KERNEL, "no_mounts", "/proc/self/mountinfo can't be read: %s", strerror(errno));
	return DONE;
}

void free_resolved(struct resolved *resolved)
{
	free(resolved->keys);
	free(resolved->values);
	memset(resolved, 0, sizeof(*resolved));
}
