/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A place in the file system: its path as the process sees it, and what lies above it.
 *
 * bpf_d_path isn't used: 6.1 allows it in a third of the hooks, and it neither says whether the process's root was
 * reached nor takes names that don't exist yet. Names are collected upwards into the task's own buffer.
 */
#ifndef HOPGATE_PATH_BPF_H
#define HOPGATE_PATH_BPF_H

#define PATH_COMPONENTS 64 /* directories and mounts above a file; beyond: denied */
#define PATH_BYTES 4096
#define NAME_BYTES 255
#define PATH_ATTEMPTS 4 /* while others rename */

#define MNT_INTERNAL 0x4000
#define MNT_NS_INTERNAL ((__u64)-22) /* ERR_PTR(-EINVAL): mounts that belong to no namespace, like overlay's layers */

struct place {
	struct dentry *dentry;
	struct vfsmount *mount;
};

/* Per task, not per processor: another task may run on this one in the middle of a verdict. */
struct scratch {
	char path[PATH_BYTES + NAME_BYTES + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* The kernel's sequence lock of all renames; absent where the kernel doesn't list its data symbols. */
extern const void rename_lock __ksym __weak;

struct trace {
	struct scratch *scratch;
	struct dentry *dentry;
	struct vfsmount *mount;
	struct dentry *root; /* of the process */
	struct vfsmount *root_mount;
	__u32 start;  /* of the path in scratch; it ends at PATH_BYTES */
	__u32 reason; /* REASON_NONE: path is whole */
};

static __always_inline struct scratch *scratch_of_task(void)
{
	return bpf_task_storage_get(&scratches, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline __u32 rename_sequence(void)
{
	__u32 sequence = 0;

	if (&rename_lock)
		bpf_probe_read_kernel(&sequence, sizeof(sequence), &rename_lock);
	return sequence;
}

static __always_inline struct mount *mount_of(struct vfsmount *vfsmount)
{
	return (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
}

/* Puts '/' and the dentry's name before what is at start. False: it doesn't fit. */
static __always_inline bool prepend(struct trace *trace, struct dentry *dentry)
{
	struct scratch *scratch = trace->scratch;
	struct qstr name;
	__u32 start = trace->start;
	__u64 bytes;

	name.hash_len = BPF_CORE_READ(dentry, d_name.hash_len);
	name.name = BPF_CORE_READ(dentry, d_name.name);
	bytes = name.hash_len >> 32;
	if (bytes > NAME_BYTES || start < bytes + 1)
		return false;
	start -= bytes;
	if (bpf_probe_read_kernel(&scratch->path[start & (PATH_BYTES - 1)], bytes & NAME_BYTES, name.name))
		return false;
	start -= 1;
	scratch->path[start & (PATH_BYTES - 1)] = '/';
	trace->start = start;
	return true;
}

/* One step up: across a mount or to the directory above. 1: arrived, or reason says why not. */
static long collect_name(__u32 number, struct trace *trace)
{
	struct dentry *dentry = trace->dentry;
	struct vfsmount *mount = trace->mount;
	struct dentry *parent;

	if (dentry == trace->root && mount == trace->root_mount) {
		trace->reason = REASON_NONE;
		return 1;
	}
	trace->reason = REASON_UNREACHABLE;
	if (dentry == BPF_CORE_READ(mount, mnt_root)) {
		struct mount *here = mount_of(mount);
		struct mount *above = BPF_CORE_READ(here, mnt_parent);

		if (above == here || !above)
			return 1;
		trace->dentry = BPF_CORE_READ(here, mnt_mountpoint);
		trace->mount = (void *)above + bpf_core_field_offset(struct mount, mnt);
		trace->reason = REASON_TOO_DEEP;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry || !parent)
		return 1;
	trace->reason = REASON_TOO_DEEP;
	if (!prepend(trace, dentry))
		return 1;
	trace->dentry = parent;
	return 0;
}

static __always_inline void collect_names(struct trace *trace, const struct place *place)
{
	struct task_struct *task = bpf_get_current_task_btf();

	trace->root = task->fs->root.dentry;
	trace->root_mount = task->fs->root.mnt;
	trace->dentry = place->dentry;
	trace->mount = place->mount;
	trace->start = PATH_BYTES;
	bpf_loop(PATH_COMPONENTS, collect_name, trace, 0);
	/* The root itself is "/", everything else already begins with it. */
	if (trace->reason == REASON_NONE && trace->start == PATH_BYTES) {
		trace->start = PATH_BYTES - 1;
		trace->scratch->path[PATH_BYTES - 1] = '/';
	}
}

/* The path of place, from one state of all names, or a reason why there is none. */
static __always_inline void trace_path(struct trace *trace, const struct place *place)
{
	trace->reason = REASON_EXHAUSTED;
	trace->start = PATH_BYTES;
	trace->scratch = scratch_of_task();
	if (!trace->scratch)
		return;
	for (int i = 0; i < PATH_ATTEMPTS; i++) {
		__u32 before = rename_sequence();

		collect_names(trace, place);
		if (!(before & 1) && rename_sequence() == before)
			return;
	}
	trace->reason = REASON_UNSTABLE;
}

struct climb {
	void *table;
	struct dentry *dentry;
	__u32 forbidden; /* FILE_* that an anchor on the way forbids */
	__u32 wanted;
	__u32 policy;
	__u32 reason;
};

static long climb_one(__u32 number, struct climb *climb)
{
	struct dentry *dentry = climb->dentry;
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

	if (inode) {
		struct anchor_key key = {
			.inode = BPF_CORE_READ(inode, i_ino),
			.device = BPF_CORE_READ(inode, i_sb, s_dev),
		};
		struct anchor *found = bpf_map_lookup_elem(climb->table, &key);

		if (found) {
			__u32 mask = found->below | (number ? 0 : found->self);

			climb->forbidden |= mask;
			if (mask & climb->wanted)
				climb->policy = found->policy;
		}
	}
	climb->dentry = parent;
	if (parent && parent != dentry)
		return 0;
	climb->reason = REASON_NONE;
	return 1;
}

/*
 * The inode and all directories above it in its own file system, past the root of a bind mount: hard links, aliases
 * and overlays don't lead around an anchor.
 */
static __always_inline void climb_anchors(const struct subject *subject, struct dentry *dentry, __u8 wanted,
					  struct climb *climb)
{
	__u32 index = subject->index;

	climb->table = bpf_map_lookup_elem(&anchors, &index);
	climb->dentry = dentry;
	climb->forbidden = 0;
	climb->wanted = wanted;
	climb->policy = POLICY_NONE;
	climb->reason = REASON_NO_RULES;
	if (!climb->table)
		return;
	climb->reason = REASON_TOO_DEEP;
	bpf_loop(PATH_COMPONENTS, climb_one, climb, 0);
}

#endif
