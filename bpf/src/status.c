/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* One JSON object: what is in force, what isn't enforced here, and counts. */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

struct maps {
	int control, names, cgroups, rules, counters, lost, notes, bundles;
};

static int open_all(const struct options *options, struct maps *maps)
{
	struct {
		const char *name;
		int *fd;
	} wanted[] = { { "control", &maps->control },   { "names", &maps->names },       { "cgroups", &maps->cgroups },
		       { "rules", &maps->rules },       { "counters", &maps->counters }, { "lost", &maps->lost },
		       { "notes", &maps->notes },       { "bundles", &maps->bundles } };
	int status;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if ((status = open_loaded(options, wanted[i].name, wanted[i].fd)))
			return status;
	return DONE;
}

static bool is_attached(const struct options *options, const char *hook, uint64_t *misses)
{
	struct bpf_link_info link = { 0 };
	struct bpf_prog_info program = { 0 };
	uint32_t bytes = sizeof(link);
	char path[PATH_MAX];
	int fd, inner;

	pin_path(path, sizeof(path), options, "links", hook);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	if (!bpf_obj_get_info_by_fd(fd, &link, &bytes) && (inner = bpf_prog_get_fd_by_id(link.prog_id)) >= 0) {
		bytes = sizeof(program);
		if (!bpf_obj_get_info_by_fd(inner, &program, &bytes))
			*misses += program.recursion_misses;
		close(inner);
	}
	close(fd);
	return true;
}

static void print_hooks(const struct options *options)
{
	uint64_t misses = 0;

	printf(",\"hooks\":{");
	for (unsigned hook = 0; hook < HOOK_COUNT; hook++)
		printf("%s\"%s\":%s", hook ? "," : "", hook_name(hook),
		       is_attached(options, hook_name(hook), &misses) ? "true" : "false");
	/* Checks that didn't run because the program was running already; only before 6.2, with full preemption. */
	printf("},\"skipped\":%lu", (unsigned long)misses);
}

static void print_weaknesses(const struct maps *maps)
{
	char note[NOTE_BYTES] = "";
	uint32_t first = 0;

	bpf_map_lookup_elem(maps->notes, &first, note);
	printf(",\"lsm\":%s,\"not_enforced\":[", *note ? "false" : "true");
	if (*note) {
		char text[2 * NOTE_BYTES];

		snprintf(text, sizeof(text), "files, programs, processes, unix and packet sockets: %s", note);
		print_string(stdout, text, strlen(text));
		printf(",\"a class doesn't stick to a process that is moved out of its cgroup: without LSM only the"
		       " cgroup counts\"");
	}
	printf("]");
}

static struct counts sum(const struct maps *maps, uint32_t class, unsigned hook, int processors)
{
	struct counts each[processors], all = { 0, 0 };
	uint32_t key = class * HOOK_COUNT + hook;

	if (bpf_map_lookup_elem(maps->counters, &key, each))
		return all;
	for (int i = 0; i < processors; i++) {
		all.denied += each[i].denied;
		all.would_deny += each[i].would_deny;
	}
	return all;
}

static void print_counts(const struct maps *maps, uint32_t class, int processors, const char *name, bool denied)
{
	const char *separator = "";

	printf(",\"%s\":{", name);
	for (unsigned hook = 0; hook < HOOK_COUNT; hook++) {
		struct counts counts = sum(maps, class, hook, processors);
		uint64_t count = denied ? counts.denied : counts.would_deny;

		if (!count)
			continue;
		printf("%s\"%s\":%lu", separator, hook_name(hook), (unsigned long)count);
		separator = ",";
	}
	printf("}");
}

static void print_cgroups(const struct maps *maps, uint32_t class)
{
	const char *separator = "";
	uint64_t *previous = NULL, id;
	uint32_t value;

	printf(",\"cgroups\":[");
	while (!bpf_map_get_next_key(maps->cgroups, previous, &id)) {
		previous = &id;
		if (bpf_map_lookup_elem(maps->cgroups, &id, &value) || value != class)
			continue;
		printf("%s%lu", separator, (unsigned long)id);
		separator = ",";
	}
	printf("]");
}

static void print_classes(const struct maps *maps, uint64_t active)
{
	int processors = libbpf_num_possible_cpus();
	const char *separator = "";
	struct class_name name;

	printf(",\"classes\":{");
	for (uint32_t id = 1; id < CLASS_IDS && !bpf_map_lookup_elem(maps->names, &id, &name); id++) {
		uint32_t key = RULES_INDEX(active & 1, id);
		struct class_rules rules = { 0 };

		if (!name.text[0])
			continue;
		bpf_map_lookup_elem(maps->rules, &key, &rules);
		printf("%s", separator);
		print_string(stdout, name.text, strnlen(name.text, sizeof(name.text)));
		printf(":{\"rules\":%s,\"audit\":%s,\"hide\":%s,\"spawn\":%s,\"revalidate\":%s,\"anchors\":%u",
		       rules.present ? "true" : "false", rules.flags & CLASS_AUDIT ? "true" : "false",
		       rules.flags & CLASS_HIDE ? "true" : "false", rules.flags & CLASS_SPAWN ? "true" : "false",
		       rules.flags & CLASS_REVALIDATE ? "true" : "false", rules.anchors);
		print_cgroups(maps, id);
		print_counts(maps, id, processors, "denied", true);
		print_counts(maps, id, processors, "would_deny", false);
		printf("}");
		separator = ",";
	}
	printf("}");
}

static uint64_t sum_lost(const struct maps *maps)
{
	int processors = libbpf_num_possible_cpus();
	uint64_t each[processors], all = 0;
	uint32_t first = 0;

	if (!bpf_map_lookup_elem(maps->lost, &first, each))
		for (int i = 0; i < processors; i++)
			all += each[i];
	return all;
}

int run_status(const struct options *options)
{
	uint32_t key = CONTROL_ACTIVE, slot;
	struct bundle bundle = { 0 };
	struct utsname kernel;
	uint64_t active = 0;
	struct maps maps;
	int status, control = open_map(options, "control");

	if (control < 0 && errno == ENOENT) {
		puts("{\"loaded\":false,\"generation\":0}");
		return DONE;
	}
	close(control);
	if ((status = open_all(options, &maps)))
		return status;
	uname(&kernel);
	bpf_map_lookup_elem(maps.control, &key, &active);
	slot = active & 1;
	bpf_map_lookup_elem(maps.bundles, &slot, &bundle);
	printf("{\"loaded\":true,\"kernel\":");
	print_string(stdout, kernel.release, strlen(kernel.release));
	printf(",\"generation\":%lu,\"digest\":\"sha256:", (unsigned long)(active >> 1));
	for (size_t i = 0; i < sizeof(bundle.digest); i++)
		printf("%02x", bundle.digest[i]);
	printf("\",\"anchors_missing\":%u,\"anchors_untracked\":%u,\"anchors_unwalked\":%u",
	       bundle.missing, bundle.untracked, bundle.unwalked);
	print_weaknesses(&maps);
	print_hooks(options);
	printf(",\"lost_events\":%lu", (unsigned long)sum_lost(&maps));
	print_classes(&maps, active);
	printf("}\n");
	return ferror(stdout) ? KERNEL : DONE;
}
