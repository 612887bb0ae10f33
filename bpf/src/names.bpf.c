/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Making, removing and renaming files, and changing what is known of them: writeFile on each name involved. */

#define RENAME_EXCHANGE 2
#define ATTR_ATIME 16
#define ATTR_MTIME 32
#define ATTR_OTHERS 15 /* mode, owner, group, size: judged where the path is known */
#define MOUNTS_OF_FILE_SYSTEM 64

static __always_inline bool is_directory(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode && (inode->i_mode & S_IFMT) == S_IFDIR;
}

static __always_inline int judge_name(const struct path *directory, struct dentry *dentry, __u8 hook)
{
	struct place place = { .dentry = dentry, .mount = directory->mnt };
	struct subject subject;

	/* A memfd or a pipe, by its descriptor: policy speaks of names. */
	if (directory->mnt->mnt_flags & MNT_INTERNAL || !is_agent(&subject))
		return 0;
	return judge_place(&subject, &place, hook, FILE_WRITE, EPERM);
}

static __always_inline int judge_path(const struct path *path, __u8 hook)
{
	return judge_name(path, path->dentry, hook);
}

static __always_inline int refuse(__u8 hook)
{
	struct subject subject;

	return is_agent(&subject) ? deny_protected(&subject, hook) : 0;
}

SEC("lsm/path_mknod")
int BPF_PROG(path_mknod, const struct path *dir, struct dentry *dentry, unsigned int mode, unsigned int dev)
{
	__u32 kind = mode & S_IFMT;

	if (kind == S_IFBLK || kind == S_IFCHR)
		return refuse(HOOK_PATH_MKNOD);
	return judge_name(dir, dentry, HOOK_PATH_MKNOD);
}

SEC("lsm/path_mkdir")
int BPF_PROG(path_mkdir, const struct path *dir, struct dentry *dentry, unsigned int mode)
{
	return judge_name(dir, dentry, HOOK_PATH_MKDIR);
}

SEC("lsm/path_rmdir")
int BPF_PROG(path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return judge_name(dir, dentry, HOOK_PATH_RMDIR);
}

SEC("lsm/path_unlink")
int BPF_PROG(path_unlink, const struct path *dir, struct dentry *dentry)
{
	return judge_name(dir, dentry, HOOK_PATH_UNLINK);
}

SEC("lsm/path_symlink")
int BPF_PROG(path_symlink, const struct path *dir, struct dentry *dentry, const char *old_name)
{
	return judge_name(dir, dentry, HOOK_PATH_SYMLINK);
}

SEC("lsm/path_truncate")
int BPF_PROG(path_truncate, const struct path *path)
{
	return judge_path(path, HOOK_PATH_TRUNCATE);
}

SEC("lsm/path_chmod")
int BPF_PROG(path_chmod, const struct path *path, unsigned int mode)
{
	return judge_path(path, HOOK_PATH_CHMOD);
}

SEC("lsm/path_chown")
int BPF_PROG(path_chown, const struct path *path)
{
	return judge_path(path, HOOK_PATH_CHOWN);
}

SEC("lsm/path_chroot")
int BPF_PROG(path_chroot, const struct path *path)
{
	return refuse(HOOK_PATH_CHROOT);
}

/* A second name, or another one, gives what the new name gives: so the old one must give what copying needs. */
static __always_inline int judge_two(const struct path *old_dir, struct dentry *old_dentry, __u8 old_wanted,
				     const struct path *new_dir, struct dentry *new_dentry, __u8 new_wanted, __u8 hook)
{
	struct place place = { .dentry = old_dentry, .mount = old_dir->mnt };
	struct subject subject;
	int answer;

	if (!is_agent(&subject))
		return 0;
	answer = judge_place(&subject, &place, hook, old_wanted, EPERM);
	if (answer)
		return answer;
	place.dentry = new_dentry;
	place.mount = new_dir->mnt;
	return judge_place(&subject, &place, hook, new_wanted, EPERM);
}

SEC("lsm/path_link")
int BPF_PROG(path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	/* link(2) doesn't cross mounts: the old name is on the new one's. */
	return judge_two(new_dir, old_dentry, FILE_READ | FILE_WRITE, new_dir, new_dentry, FILE_WRITE, HOOK_PATH_LINK);
}

SEC("lsm/path_rename")
int BPF_PROG(path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	__u8 old_wanted = FILE_READ | FILE_WRITE;
	__u8 new_wanted = FILE_WRITE;

	if (flags & RENAME_EXCHANGE)
		new_wanted |= FILE_READ;
	/* A directory takes all below it along: that must be as free before as after. */
	if (is_directory(old_dentry) || is_directory(new_dentry)) {
		old_wanted |= FILE_WHOLE;
		new_wanted |= FILE_WHOLE;
	}
	return judge_two(old_dir, old_dentry, old_wanted, new_dir, new_dentry, new_wanted, HOOK_PATH_RENAME);
}

/*
 * Some hooks are given a dentry without its mount. It is judged under every mount of its file system in the process's
 * mount namespace that it is reachable by.
 */
struct mount___since_6_18 {
	struct mount *mnt_next_for_sb;
} __attribute__((preserve_access_index));
struct super_block___since_6_18 {
	struct mount *s_mounts;
} __attribute__((preserve_access_index));

struct aliases {
	struct subject subject;
	struct dentry *dentry;
	struct mount *next; /* NULL: no more */
	struct list_head *head;
	struct mnt_namespace *names;
	__u32 reachable;
	__u32 hook;
	int answer;
};

static __always_inline struct mount *first_mount(struct aliases *aliases, struct super_block *sb)
{
	struct super_block___since_6_18 *newer = (void *)sb;
	struct list_head *first;

	if (!bpf_core_field_exists(struct mount, mnt_instance))
		return BPF_CORE_READ(newer, s_mounts);
	aliases->head = (void *)sb + bpf_core_field_offset(struct super_block, s_mounts);
	first = BPF_CORE_READ(sb, s_mounts.next);
	if (first == aliases->head)
		return NULL;
	return (void *)first - bpf_core_field_offset(struct mount, mnt_instance);
}

static __always_inline struct mount *mount_after(struct aliases *aliases, struct mount *mount)
{
	struct mount___since_6_18 *newer = (void *)mount;
	struct list_head *next;

	if (!bpf_core_field_exists(struct mount, mnt_instance))
		return BPF_CORE_READ(newer, mnt_next_for_sb);
	next = BPF_CORE_READ(mount, mnt_instance.next);
	if (next == aliases->head || !next)
		return NULL;
	return (void *)next - bpf_core_field_offset(struct mount, mnt_instance);
}

static long judge_alias(__u32 number, struct aliases *aliases)
{
	struct mount *mount = aliases->next;
	struct permission permission;
	struct place place;

	if (!mount)
		return 1;
	aliases->next = mount_after(aliases, mount);
	if (BPF_CORE_READ(mount, mnt_ns) != aliases->names)
		return 0;
	place.dentry = aliases->dentry;
	place.mount = (void *)mount + bpf_core_field_offset(struct mount, mnt);
	permission_at(&aliases->subject, &place, FILE_WRITE, &permission);
	if (permission.reason == REASON_UNREACHABLE)
		return 0;
	aliases->reachable++;
	if (permission.mask & FILE_WRITE)
		return 0;
	aliases->answer = deny_place(&aliases->subject, &permission, aliases->hook, FILE_WRITE, EPERM);
	return 1;
}

static __noinline int judge_dentry(struct dentry *dentry, __u8 hook)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct aliases aliases = { .dentry = dentry, .hook = hook };
	struct permission permission = { .reason = REASON_UNREACHABLE, .policy = POLICY_NONE };

	if (!is_agent(&aliases.subject))
		return 0;
	aliases.names = task->nsproxy->mnt_ns;
	aliases.next = first_mount(&aliases, dentry->d_sb);
	bpf_loop(MOUNTS_OF_FILE_SYSTEM, judge_alias, &aliases, 0);
	/* Not all mounts seen, or none that leads here. */
	if (!aliases.answer && (aliases.next || !aliases.reachable))
		return deny_place(&aliases.subject, &permission, hook, FILE_WRITE, EPERM);
	return aliases.answer ? -EPERM : 0;
}

static __always_inline int judge_times(struct dentry *dentry, struct iattr *attributes)
{
	unsigned int valid = attributes->ia_valid;

	if (!(valid & (ATTR_ATIME | ATTR_MTIME)) || (valid & ATTR_OTHERS))
		return 0;
	return judge_dentry(dentry, HOOK_INODE_SETATTR);
}

/* The loader loads the one of the two that fits the kernel's arguments. */
SEC("lsm/inode_setattr")
int BPF_PROG(setattr_dentry_first, struct dentry *dentry, struct iattr *attributes)
{
	return judge_times(dentry, attributes);
}

SEC("lsm/inode_setattr")
int BPF_PROG(setattr_idmap_first, void *idmap, struct dentry *dentry, struct iattr *attributes)
{
	return judge_times(dentry, attributes);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(inode_setxattr, void *idmap, struct dentry *dentry)
{
	return judge_dentry(dentry, HOOK_INODE_SETXATTR);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(inode_removexattr, void *idmap, struct dentry *dentry)
{
	return judge_dentry(dentry, HOOK_INODE_REMOVEXATTR);
}
