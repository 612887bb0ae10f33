/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the loader's files share. Functions that fail have printed one line of JSON and return an exit code. */
#ifndef HOPGATE_LOADER_H
#define HOPGATE_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared.h"

enum exit_code {
	DONE = 0,
	REFUSED = 1,    /* an image, a class or a cgroup isn't what it should be; nothing was changed */
	USAGE = 2,      /* the command line can't be understood */
	KERNEL = 3,     /* the kernel refused; the message names the call and the errno */
	NOT_LOADED = 4, /* no pins: `load` first */
};

struct options {
	const char *pins;        /* directory on a bpf file system */
	const char *cgroup_root; /* of the cgroup v2 hierarchy; NULL: found in /proc/self/mountinfo */
	bool without_lsm;        /* load: the network half alone, though the kernel could do more */
	bool once;               /* events: what is there now, then end */
	unsigned interval;       /* events: milliseconds between two looks */
};

/* Prints {"error": message, "code": …} to stderr; returns status. Codes are a closed list: see docs. */
int fail(enum exit_code status, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A JSON string with quotes. Bytes that aren't UTF-8 become U+FFFD. */
void print_string(FILE *to, const char *text, size_t bytes);

/* Maps by their name under PINS/maps; -1 and a message when there is none. */
int open_map(const struct options *options, const char *name);
int open_loaded(const struct options *options, const char *name, int *fd);
int lock_pins(const struct options *options);
void pin_path(char *path, size_t bytes, const struct options *options, const char *kind, const char *name);

const char *hook_name(unsigned hook);
const char *reason_name(unsigned reason);

/* Identifier of a class name. Makes one if create; 0: there is none, or none is free. */
uint32_t class_identifier(int names, const char *name, bool create);
bool is_class_name(const char *name, size_t bytes);

/* Where the cgroup v2 hierarchy is mounted. */
bool find_cgroup_root(const struct options *options, char *path, size_t bytes);

/* A whole image, checked. */
struct image {
	const uint8_t *bytes;
	size_t size;
	const struct image_header *header;
	const struct image_class *classes;
};

int read_image(const char *path, struct image *image);
int check_image(const uint8_t *bytes, size_t size, struct image *image);

/* (device, inode) of an anchor's path and of every mount below it. */
struct resolved {
	struct anchor_key *keys;
	struct anchor *values;
	uint32_t count;
	uint32_t missing;   /* paths that don't exist */
	uint32_t walked;
	uint32_t unwalked;  /* directories whose files' other names weren't all found */
	uint32_t untracked; /* on file systems whose device number user space isn't told */
};

int resolve_anchors(const struct image *image, const struct image_class *class, struct resolved *resolved);
void free_resolved(struct resolved *resolved);

int remove_pins(const struct options *options);
int run_load(const struct options *options);
int run_unload(const struct options *options);
int run_apply(const struct options *options, const char *path);
int run_join(const struct options *options, const char *class, const char *cgroup);
int run_leave(const struct options *options, const char *cgroup);
int run_status(const struct options *options);
int run_events(const struct options *options);
int attach_revalidation(const struct options *options);

#endif
