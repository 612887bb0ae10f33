/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Loading, attaching and pinning. Where the kernel has no BPF LSM, or refuses it, the network half works alone and
 * status says so. The map `control` is pinned last: with it, everything else is there.
 */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hopgate.skel.h"

#define BPF_FS_MAGIC 0xcafe4a11
#define LAZY "file_permission" /* attached by the first image that asks for it: it is called on every read and write */

static bool is_lsm(const struct bpf_program *program)
{
	return bpf_program__type(program) == BPF_PROG_TYPE_LSM;
}

/* The number of arguments of a hook on this kernel; -1: it has no such hook. */
static int arguments_of(const struct btf *btf, const char *section)
{
	char name[128];
	int id;

	snprintf(name, sizeof(name), "bpf_lsm_%s", section + strlen("lsm/"));
	id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
	if (id < 0)
		return -1;
	return btf_vlen(btf__type_by_id(btf, btf__type_by_id(btf, id)->type));
}

static struct hopgate_bpf *open_programs(const struct btf *btf, bool with_lsm)
{
	struct hopgate_bpf *skeleton = hopgate_bpf__open();
	struct bpf_program *program;

	if (!skeleton)
		return NULL;
	bpf_object__for_each_program(program, skeleton->obj)
	{
		int arguments = is_lsm(program) ? arguments_of(btf, bpf_program__section_name(program)) : 0;

		if (is_lsm(program) && (!with_lsm || arguments < 0))
			bpf_program__set_autoload(program, false);
		else if (program == skeleton->progs.setattr_dentry_first)
			bpf_program__set_autoload(program, arguments == 2);
		else if (program == skeleton->progs.setattr_idmap_first)
			bpf_program__set_autoload(program, arguments > 2);
	}
	return skeleton;
}

static struct hopgate_bpf *load_programs(const struct btf *btf, bool without_lsm, char *why, size_t bytes)
{
	struct hopgate_bpf *skeleton = open_programs(btf, !without_lsm);
	int error;

	if (without_lsm)
		snprintf(why, bytes, "switched off with --without-lsm");
	if (skeleton && !hopgate_bpf__load(skeleton))
		return skeleton;
	error = errno;
	hopgate_bpf__destroy(skeleton);
	if (without_lsm) {
		errno = error;
		return NULL;
	}
	snprintf(why, bytes, "the kernel refused programs of type LSM: %s", strerror(error));
	skeleton = open_programs(btf, false);
	if (skeleton && !hopgate_bpf__load(skeleton))
		return skeleton;
	error = errno;
	hopgate_bpf__destroy(skeleton);
	errno = error;
	return NULL;
}

/* A program's name is the name of its link; the two for one hook share it. */
static const char *link_name(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);

	return strchr(section, '/') + 1;
}

static int attach(const struct options *options, struct hopgate_bpf *skeleton, int cgroup, bool lsm)
{
	struct bpf_program *program;
	char path[PATH_MAX];

	bpf_object__for_each_program(program, skeleton->obj)
	{
		const char *name = link_name(program);
		struct bpf_link *link;

		if (bpf_program__fd(program) < 0 || is_lsm(program) != lsm)
			continue;
		if (!strcmp(name, LAZY)) {
			pin_path(path, sizeof(path), options, "programs", name);
			if (bpf_program__pin(program, path))
				return fail(KERNEL, "pin", "%s: %s", path, strerror(errno));
			continue;
		}
		link = lsm ? bpf_program__attach_lsm(program) : bpf_program__attach_cgroup(program, cgroup);
		if (!link)
			return fail(KERNEL, "attach", "%s can't be attached: %s", name, strerror(errno));
		pin_path(path, sizeof(path), options, "links", name);
		if (bpf_link__pin(link, path))
			return fail(KERNEL, "pin", "%s: %s", path, strerror(errno));
		bpf_link__disconnect(link);
		bpf_link__destroy(link);
	}
	return DONE;
}

static void remove_kind(const struct options *options, const char *kind, const struct hopgate_bpf *only_lsm)
{
	char path[PATH_MAX];
	struct bpf_program *program;

	bpf_object__for_each_program(program, only_lsm->obj)
	{
		if (!is_lsm(program))
			continue;
		pin_path(path, sizeof(path), options, kind, link_name(program));
		unlink(path);
	}
}

static bool is_heard(const struct hopgate_bpf *skeleton)
{
	uint32_t key = CONTROL_HEARD;
	uint64_t heard = 0;

	/* The call itself is what the hook hears. */
	bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.control), &key, &heard);
	return heard;
}

static int pin_maps(const struct options *options, struct hopgate_bpf *skeleton, const char *why)
{
	uint32_t first = 0;
	struct bpf_map *map;
	char path[PATH_MAX], text[NOTE_BYTES] = "";

	snprintf(text, sizeof(text), "%s", why);
	if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.notes), &first, text, BPF_ANY))
		return fail(KERNEL, "map", "notes: %s", strerror(errno));
	bpf_object__for_each_map(map, skeleton->obj)
	{
		if (map == skeleton->maps.control || bpf_map__is_internal(map))
			continue;
		pin_path(path, sizeof(path), options, "maps", bpf_map__name(map));
		if (bpf_map__pin(map, path))
			return fail(KERNEL, "pin", "%s: %s", path, strerror(errno));
	}
	pin_path(path, sizeof(path), options, "maps", "control");
	return bpf_map__pin(skeleton->maps.control, path) ? fail(KERNEL, "pin", "%s: %s", path, strerror(errno)) : DONE;
}

static int attach_all(const struct options *options, struct hopgate_bpf *skeleton, int cgroup, char *why, size_t bytes)
{
	int status = attach(options, skeleton, cgroup, false);

	if (status || *why)
		return status ? status : pin_maps(options, skeleton, why);
	status = attach(options, skeleton, cgroup, true);
	if (!status && !is_heard(skeleton)) {
		snprintf(why, bytes, "BPF isn't among the kernel's active security modules (lsm=…,bpf on its command line)");
		remove_kind(options, "links", skeleton);
		remove_kind(options, "programs", skeleton);
	}
	return status ? status : pin_maps(options, skeleton, why);
}

static int make_directories(const struct options *options)
{
	static const char *const kinds[] = { "maps", "links", "programs" };
	struct statfs system;
	char path[PATH_MAX];

	if (mkdir(options->pins, 0700) && errno != EEXIST)
		return fail(KERNEL, "pins", "%s can't be made: %s", options->pins, strerror(errno));
	if (statfs(options->pins, &system) || (uint32_t)system.f_type != BPF_FS_MAGIC)
		return fail(KERNEL, "pins", "%s isn't on a bpf file system; mount one: mount -t bpf bpf /sys/fs/bpf",
			    options->pins);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		snprintf(path, sizeof(path), "%s/%s", options->pins, kinds[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return fail(KERNEL, "pins", "%s can't be made: %s", path, strerror(errno));
	}
	return DONE;
}

static int load_fresh(const struct options *options)
{
	char root[PATH_MAX], why[NOTE_BYTES] = "";
	struct hopgate_bpf *skeleton;
	struct btf *btf;
	int cgroup, status;

	if (!find_cgroup_root(options, root, sizeof(root)))
		return fail(KERNEL, "no_cgroup2", "no cgroup v2 hierarchy is mounted");
	cgroup = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	btf = btf__load_vmlinux_btf();
	if (cgroup < 0 || !btf)
		return fail(KERNEL, "no_kernel_types", "%s: %s", cgroup < 0 ? root : "/sys/kernel/btf/vmlinux",
			    strerror(errno));
	skeleton = load_programs(btf, options->without_lsm, why, sizeof(why));
	btf__free(btf);
	if (!skeleton)
		return fail(KERNEL, "load", "the kernel refused the programs: %s (run with --verbose to see why)",
			    strerror(errno));
	status = attach_all(options, skeleton, cgroup, why, sizeof(why));
	hopgate_bpf__destroy(skeleton);
	return status;
}

int run_load(const struct options *options)
{
	int status = make_directories(options), control;

	if (status || (status = lock_pins(options)))
		return status;
	control = open_map(options, "control");
	if (control >= 0)
		return DONE;
	/* What a load that was killed has left behind. */
	if ((status = remove_pins(options)) || (status = make_directories(options)))
		return status;
	status = load_fresh(options);
	if (status)
		remove_pins(options);
	return status;
}

int attach_revalidation(const struct options *options)
{
	char path[PATH_MAX];
	int program, link, status = DONE;

	pin_path(path, sizeof(path), options, "links", LAZY);
	link = bpf_obj_get(path);
	if (link >= 0) {
		close(link);
		return DONE;
	}
	pin_path(path, sizeof(path), options, "programs", LAZY);
	program = bpf_obj_get(path);
	if (program < 0)
		return DONE; /* without LSM: status says what isn't enforced */
	link = bpf_raw_tracepoint_open(NULL, program);
	pin_path(path, sizeof(path), options, "links", LAZY);
	if (link < 0 || bpf_obj_pin(link, path))
		status = fail(KERNEL, "attach", LAZY " can't be attached: %s", strerror(errno));
	if (link >= 0)
		close(link);
	close(program);
	return status;
}
