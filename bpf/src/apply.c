/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Putting a generation in force. Order: check the image; find its anchors; make and fill all new inner maps; only then
 * write the slot that isn't in force; flip one word; wait until no program can still read the other slot. Killed
 * anywhere, the generation before stays in force.
 */
#include "loader.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum table { AUTOMATA, ANCHORS, CONNECTS, BINDS, TABLES };
static const char *const TABLE_NAMES[TABLES] = { "automata", "anchors", "connects", "binds" };

struct prepared {
	uint32_t id;
	struct class_rules rules;
	int inner[TABLES];
};

struct application {
	struct image image;
	int control, names, rules, bundles, outer[TABLES];
	uint64_t active;
	struct bundle bundle;
	struct prepared classes[IMAGE_MAX_CLASSES];
};

static int kernel_failed(const char *what, const char *class)
{
	return fail(KERNEL, "map", "%s of class %s: %s", what, class, strerror(errno));
}

static int open_maps(const struct options *options, struct application *application)
{
	struct {
		const char *name;
		int *fd;
	} maps[] = { { "control", &application->control }, { "names", &application->names },
		     { "rules", &application->rules }, { "bundles", &application->bundles } };
	uint32_t key = CONTROL_ACTIVE;
	int status;

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		if ((status = open_loaded(options, maps[i].name, maps[i].fd)))
			return status;
	for (int table = 0; table < TABLES; table++)
		if ((status = open_loaded(options, TABLE_NAMES[table], &application->outer[table])))
			return status;
	if (bpf_map_lookup_elem(application->control, &key, &application->active))
		return fail(KERNEL, "map", "control: %s", strerror(errno));
	return DONE;
}

static int fill_automaton(const struct image *image, const struct image_class *class, int *fd)
{
	struct automaton *automaton = calloc(1, sizeof(*automaton));
	uint32_t first = 0;
	int failed;

	*fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "automaton", sizeof(first), sizeof(*automaton), 1, NULL);
	if (!automaton || *fd < 0) {
		free(automaton);
		return kernel_failed("automaton", class->name);
	}
	automaton->states = class->states;
	automaton->byte_classes = class->byte_classes;
	if (class->states) {
		memcpy(automaton->byte_class, image->bytes + class->byte_class_offset, 256);
		memcpy(automaton->accept, image->bytes + class->accept_offset, class->states);
		memcpy(automaton->next, image->bytes + class->transition_offset,
		       2ul * class->states * class->byte_classes);
	}
	failed = bpf_map_update_elem(*fd, &first, automaton, BPF_ANY);
	free(automaton);
	return failed ? kernel_failed("automaton", class->name) : DONE;
}

static int fill_anchors(struct application *application, const struct image_class *class, struct prepared *prepared)
{
	struct resolved resolved;
	int status = resolve_anchors(&application->image, class, &resolved);
	int fd;

	if (status) {
		free_resolved(&resolved);
		return status;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "anchors", sizeof(struct anchor_key), sizeof(struct anchor),
			    resolved.count ? resolved.count : 1, NULL);
	prepared->inner[ANCHORS] = fd;
	prepared->rules.anchors = resolved.count;
	application->bundle.missing += resolved.missing;
	application->bundle.untracked += resolved.untracked;
	application->bundle.unwalked += resolved.unwalked;
	for (uint32_t i = 0; fd >= 0 && !status && i < resolved.count; i++)
		status = bpf_map_update_elem(fd, &resolved.keys[i], &resolved.values[i], BPF_ANY);
	if (fd < 0 || status)
		status = kernel_failed("anchors", class->name);
	free_resolved(&resolved);
	return status;
}

static int fill_addresses(const struct image *image, const struct image_class *class, uint64_t offset, uint32_t count,
			  int *fd)
{
	const struct image_address *entries = (const void *)(image->bytes + offset);
	const struct image_port *ports = (const void *)(image->bytes + class->port_offset);
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);

	*fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "addresses", sizeof(struct address_key),
			     sizeof(struct address_ports), count ? count : 1, &options);
	if (*fd < 0)
		return kernel_failed("addresses", class->name);
	for (uint32_t i = 0; i < count; i++) {
		struct address_key key = { .prefix_bits = entries[i].prefix_bits };
		struct address_ports value = { .count = entries[i].port_count };

		memcpy(key.address, entries[i].address, sizeof(key.address));
		memcpy(value.ports, ports + entries[i].first_port, entries[i].port_count * sizeof(*ports));
		/* NOEXIST isn't known to tries: that no entry is there twice shows in what the image's writer did. */
		if (bpf_map_update_elem(*fd, &key, &value, BPF_ANY))
			return kernel_failed("addresses", class->name);
	}
	return DONE;
}

static int prepare(struct application *application, uint32_t number)
{
	const struct image *image = &application->image;
	const struct image_class *class = &image->classes[number];
	struct prepared *prepared = &application->classes[number];
	int status;

	prepared->rules.present = 1;
	prepared->rules.flags = class->flags;
	if ((status = fill_automaton(image, class, &prepared->inner[AUTOMATA])) ||
	    (status = fill_anchors(application, class, prepared)) ||
	    (status = fill_addresses(image, class, class->network_offset, class->network_count,
				     &prepared->inner[CONNECTS])))
		return status;
	return fill_addresses(image, class, class->bind_offset, class->bind_count, &prepared->inner[BINDS]);
}

/* Identifiers for all, before anything of the slot is written. Names alone change no verdict. */
static int name_classes(struct application *application)
{
	for (uint32_t i = 0; i < application->image.header->class_count; i++) {
		const char *name = application->image.classes[i].name;

		application->classes[i].id = class_identifier(application->names, name, true);
		if (!application->classes[i].id)
			return fail(REFUSED, "classes_full",
				    "no identifier is left for class %s: %u names since load; unload and load when no"
				    " agent runs", name, CLASS_IDS - 1);
	}
	return DONE;
}

static const struct prepared *prepared_for(const struct application *application, uint32_t id)
{
	for (uint32_t i = 0; i < application->image.header->class_count; i++)
		if (application->classes[i].id == id)
			return &application->classes[i];
	return NULL;
}

/*
 * One call for all entries of a table: the kernel waits for readers once a call, not once an entry. Entry 0 of the
 * slot belongs to no class and takes part so that there always is something to wait by.
 */
static int write_table(struct application *application, uint32_t slot, enum table table)
{
	uint32_t keys[IMAGE_MAX_CLASSES], count = 0, key, held;
	int values[IMAGE_MAX_CLASSES];

	for (uint32_t id = 1; id < CLASS_IDS; id++) {
		const struct prepared *prepared = prepared_for(application, id);

		key = RULES_INDEX(slot, id);
		if (prepared) {
			keys[count] = key;
			values[count++] = prepared->inner[table];
		} else if (!bpf_map_lookup_elem(application->outer[table], &key, &held) &&
			   bpf_map_delete_elem(application->outer[table], &key)) {
			/* Looked up first: the kernel waits for readers even after a deletion of nothing. */
			return fail(KERNEL, "map", "%s: %s", TABLE_NAMES[table], strerror(errno));
		}
	}
	if (count && bpf_map_update_batch(application->outer[table], keys, values, &count, NULL))
		return fail(KERNEL, "map", "%s: %s", TABLE_NAMES[table], strerror(errno));
	return DONE;
}

static int write_slot(struct application *application, uint32_t slot)
{
	int status;

	for (uint32_t id = 1; id < CLASS_IDS; id++) {
		const struct prepared *prepared = prepared_for(application, id);
		struct class_rules rules = prepared ? prepared->rules : (struct class_rules){ 0 };
		uint32_t key = RULES_INDEX(slot, id);

		if (bpf_map_update_elem(application->rules, &key, &rules, BPF_ANY))
			return fail(KERNEL, "map", "rules: %s", strerror(errno));
	}
	for (int table = 0; table < TABLES; table++)
		if ((status = write_table(application, slot, table)))
			return status;
	if (bpf_map_update_elem(application->bundles, &slot, &application->bundle, BPF_ANY))
		return fail(KERNEL, "map", "bundles: %s", strerror(errno));
	return DONE;
}

/* Returns when every program that began before has ended: the kernel waits so after a change to an array of maps. */
static int wait_for_readers(struct application *application)
{
	uint32_t unused = RULES_INDEX(0, 0);
	struct automaton *empty = calloc(1, sizeof(*empty));
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "automaton", sizeof(uint32_t), sizeof(*empty), 1, NULL);
	int failed = !empty || inner < 0 ||
		     bpf_map_update_elem(application->outer[AUTOMATA], &unused, &inner, BPF_ANY) ||
		     bpf_map_delete_elem(application->outer[AUTOMATA], &unused);

	free(empty);
	if (inner >= 0)
		close(inner);
	return failed ? fail(KERNEL, "map", "automata: %s", strerror(errno)) : DONE;
}

static int put_in_force(struct application *application)
{
	uint32_t key = CONTROL_ACTIVE, slot = !(application->active & 1);
	uint64_t word = application->image.header->generation << 1 | slot;
	/* A loader killed right after its flip may have left readers of what is now the other slot. */
	int status = wait_for_readers(application);

	if (status || (status = write_slot(application, slot)))
		return status;
	if (bpf_map_update_elem(application->control, &key, &word, BPF_ANY))
		return fail(KERNEL, "map", "control: %s", strerror(errno));
	printf("{\"generation\":%lu,\"anchors_missing\":%u,\"anchors_untracked\":%u,\"anchors_unwalked\":%u}\n",
	       (unsigned long)application->image.header->generation, application->bundle.missing,
	       application->bundle.untracked, application->bundle.unwalked);
	return DONE;
}

static bool wants_revalidation(const struct image *image)
{
	for (uint32_t i = 0; i < image->header->class_count; i++)
		if (image->classes[i].flags & CLASS_REVALIDATE)
			return true;
	return false;
}

static int apply_loaded(const struct options *options, struct application *application)
{
	const struct image_header *header = application->image.header;
	int status = open_maps(options, application);

	if (status)
		return status;
	/* The same one again is how names and anchors are refreshed: that it is the same is the companion's to know. */
	if (header->generation < application->active >> 1)
		return fail(REFUSED, "generation_old", "generation %lu; %lu is in force, and generations only grow",
			    (unsigned long)header->generation, (unsigned long)(application->active >> 1));
	memcpy(application->bundle.digest, header->digest, sizeof(header->digest));
	for (uint32_t i = 0; i < header->class_count; i++)
		if ((status = prepare(application, i)))
			return status;
	if ((status = name_classes(application)))
		return status;
	if (wants_revalidation(&application->image) && (status = attach_revalidation(options)))
		return status;
	return put_in_force(application);
}

int run_apply(const struct options *options, const char *path)
{
	static struct application application;
	int status = read_image(path, &application.image);

	if (status || (status = lock_pins(options)))
		return status;
	return apply_loaded(options, &application);
}
