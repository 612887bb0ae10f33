/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Opening, receiving and looking at files; what changes names is in names.bpf.c. */

#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_PATH 0x4000
#define FMODE_BACKING 0x2000000 /* 6.6 and newer: a stacked file system opens what lies below */
#define FMODE_EXEC_FLAG 0x20    /* __FMODE_EXEC in f_flags: opened by the kernel to run it */
#define O_TRUNC 01000
#define MAY_READ 4
#define MAY_WRITE 2
#define MAY_APPEND 8

#define BPF_FS_MAGIC 0xcafe4a11
#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270

enum kind {
	KIND_NAMED,   /* has a path */
	KIND_LAYER,   /* a stacked file system opens its own lower file: judged by anchors alone, the name was judged */
	KIND_PIPE,    /* a pipe without a name */
	KIND_UNNAMED, /* memfd, sockets, namespaces and the like */
};

static __always_inline __u8 wanted_of(struct file *file)
{
	__u8 wanted = 0;

	if (file->f_mode & FMODE_READ)
		wanted |= FILE_READ;
	if ((file->f_mode & FMODE_WRITE) || (file->f_flags & O_TRUNC))
		wanted |= FILE_WRITE;
	/* Access mode 3 opens for ioctl alone: with what a driver does then, it is both. */
	return wanted ? wanted : FILE_READ | FILE_WRITE;
}

static __always_inline enum kind kind_of(struct file *file, struct dentry **layer)
{
	struct vfsmount *mount = file->f_path.mnt;
	struct inode *inode = file->f_inode;
	struct hlist_node *alias;

	*layer = file->f_path.dentry;
	if (mount->mnt_flags & MNT_INTERNAL)
		return (inode->i_mode & S_IFMT) == S_IFIFO ? KIND_PIPE : KIND_UNNAMED;
	if (file->f_mode & FMODE_BACKING || (__u64)BPF_CORE_READ(mount_of(mount), mnt_ns) == MNT_NS_INTERNAL)
		return KIND_LAYER;
	if (inode == file->f_path.dentry->d_inode)
		return KIND_NAMED;
	/* Before 6.6 the lower inode comes with the upper path. */
	alias = BPF_CORE_READ(inode, i_dentry.first);
	if (!alias)
		return KIND_NAMED;
	*layer = (void *)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
	return KIND_LAYER;
}

static __always_inline int judge_layer(const struct subject *subject, struct dentry *layer, __u8 hook, __u8 wanted)
{
	struct permission permission = { .policy = POLICY_NONE };
	struct climb climb;

	if (subject->present && !subject->anchors)
		return 0;
	climb_anchors(subject, layer, wanted, &climb);
	if (subject->present && climb.reason == REASON_NONE && !(climb.forbidden & wanted))
		return 0;
	permission.reason = climb.reason == REASON_NONE ? REASON_FORBIDDEN : climb.reason;
	permission.policy = climb.policy;
	return deny_place(subject, &permission, hook, wanted, hidden(subject));
}

/* Whatever the policy: pins and cgroups are what holds an agent, a disk read raw has no files. */
static __always_inline bool is_protected(struct file *file, __u8 wanted)
{
	unsigned long magic = file->f_inode->i_sb->s_magic;

	if (magic == BPF_FS_MAGIC || (file->f_inode->i_mode & S_IFMT) == S_IFBLK)
		return true;
	return (wanted & FILE_WRITE) && (magic == CGROUP_SUPER_MAGIC || magic == CGROUP2_SUPER_MAGIC);
}

static __always_inline int judge_file(const struct subject *subject, struct file *file, __u8 hook, __u8 wanted)
{
	struct place place = { .dentry = file->f_path.dentry, .mount = file->f_path.mnt };
	struct permission unnamed = { .reason = REASON_UNREACHABLE, .policy = POLICY_NONE };
	struct dentry *layer;

	switch (kind_of(file, &layer)) {
	case KIND_LAYER:
		return judge_layer(subject, layer, hook, wanted);
	case KIND_PIPE:
		return 0;
	case KIND_UNNAMED:
		return deny_place(subject, &unnamed, hook, wanted, hidden(subject));
	default:
		break;
	}
	if (is_protected(file, wanted))
		return deny_protected(subject, hook);
	return judge_place(subject, &place, hook, wanted, hidden(subject));
}

SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file)
{
	struct subject subject;
	struct permission permission;
	struct place place;
	struct dentry *layer;

	if (!is_agent(&subject))
		return 0;
	if (!(file->f_flags & FMODE_EXEC_FLAG) || kind_of(file, &layer) != KIND_NAMED)
		return judge_file(&subject, file, HOOK_FILE_OPEN, wanted_of(file));
	/* A program and the dynamic linker it names: which of the two is told apart when it is run or mapped. */
	place.dentry = file->f_path.dentry;
	place.mount = file->f_path.mnt;
	permission_at(&subject, &place, FILE_EXEC, &permission);
	if (permission.mask & (FILE_EXEC | FILE_LOAD))
		return 0;
	return deny_place(&subject, &permission, HOOK_FILE_OPEN, FILE_EXEC, hidden(&subject));
}

/* A socket made by someone of another class carries that one's connections. */
static __always_inline int judge_socket(const struct subject *subject, struct file *file)
{
	struct socket *socket = file->private_data;
	struct sock *sk = BPF_CORE_READ(socket, sk);
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u64 cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	__u32 *class = bpf_map_lookup_elem(&cgroups, &cgroup);

	if (family == AF_UNIX || (class && *class == subject->class))
		return 0;
	return deny_protected(subject, HOOK_FILE_RECEIVE);
}

SEC("lsm/file_receive")
int BPF_PROG(file_receive, struct file *file)
{
	struct subject subject;

	if (!is_agent(&subject))
		return 0;
	if ((file->f_inode->i_mode & S_IFMT) == S_IFSOCK)
		return judge_socket(&subject, file);
	/* Without a name there is nothing that policy speaks of; a bare O_PATH can only be opened again. */
	if (file->f_path.mnt->mnt_flags & MNT_INTERNAL || file->f_mode & FMODE_PATH)
		return 0;
	return judge_file(&subject, file, HOOK_FILE_RECEIVE, wanted_of(file));
}

SEC("lsm/file_permission")
int BPF_PROG(file_permission, struct file *file, int mask)
{
	struct subject subject;
	__u8 wanted = 0;

	if (!is_agent(&subject) || !(subject.flags & CLASS_REVALIDATE))
		return 0;
	if (file->f_path.mnt->mnt_flags & MNT_INTERNAL)
		return 0;
	if (mask & MAY_READ)
		wanted |= FILE_READ;
	if (mask & (MAY_WRITE | MAY_APPEND))
		wanted |= FILE_WRITE;
	if (!wanted)
		return 0;
	return judge_file(&subject, file, HOOK_FILE_PERMISSION, wanted);
}

SEC("lsm/inode_getattr")
int BPF_PROG(inode_getattr, const struct path *path)
{
	struct subject subject;
	struct permission permission;
	struct place place;

	if (!is_agent(&subject) || !(subject.flags & CLASS_HIDE))
		return 0;
	place.dentry = path->dentry;
	place.mount = path->mnt;
	if (place.mount->mnt_flags & MNT_INTERNAL)
		return 0;
	permission_at(&subject, &place, FILE_READ, &permission);
	if (permission.mask & (FILE_ACTIONS | FILE_LEADS))
		return 0;
	return deny_place(&subject, &permission, HOOK_INODE_GETATTR, FILE_READ, ENOENT);
}
