/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Making processes, and what would let an agent out: other processes' memory, mounts, modules, BPF itself. */

#define CLONE_THREAD 0x10000
#define CLONE_INTO_CGROUP 0x200000000ULL
#define PTRACE_MODE_NOAUDIT 4
#define PTRACE_MODE_ATTACH 2

SEC("lsm/task_alloc")
int BPF_PROG(task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct denial denial = { .hook = HOOK_TASK_ALLOC, .reason = REASON_NOT_PERMITTED, .policy = POLICY_NONE };
	struct subject subject;
	struct tag *tag, *parents;

	if (!is_agent(&subject))
		return 0;
	if (clone_flags & CLONE_INTO_CGROUP)
		return deny_protected(&subject, HOOK_TASK_ALLOC);
	if (!subject.present)
		denial.reason = REASON_NO_RULES;
	if (!(clone_flags & CLONE_THREAD) && !(subject.flags & CLASS_SPAWN)) {
		int answer = deny(&subject, &denial, EPERM);

		if (answer)
			return answer;
	}
	parents = bpf_task_storage_get(&tags, bpf_get_current_task_btf(), 0, 0);
	tag = bpf_task_storage_get(&tags, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!parents || !tag) {
		/* A child without the tag could leave: not even in audit mode. */
		denial.reason = REASON_EXHAUSTED;
		deny(&subject, &denial, EPERM);
		return -EPERM;
	}
	*tag = *parents;
	return 0;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(ptrace_access, struct task_struct *child, unsigned int mode)
{
	struct subject subject;
	struct tag *tag;

	if (!is_agent(&subject))
		return 0;
	tag = bpf_task_storage_get(&tags, child, 0, 0);
	if (tag && tag->class == subject.class && !(mode & PTRACE_MODE_ATTACH))
		return 0;
	/* The kernel asks in order to leave out a field, not because anybody wants one: nothing to report. */
	if (mode & PTRACE_MODE_NOAUDIT && !(subject.present && subject.flags & CLASS_AUDIT))
		return -EPERM;
	return deny_protected(&subject, HOOK_PTRACE_ACCESS);
}

SEC("lsm/ptrace_traceme")
int BPF_PROG(ptrace_traceme, struct task_struct *parent)
{
	return refuse(HOOK_PTRACE_TRACEME);
}

SEC("lsm/bpf")
int BPF_PROG(bpf_call, int command)
{
	__u32 key = CONTROL_HEARD;
	__u64 *heard = bpf_map_lookup_elem(&control, &key);

	/* The loader asks whether hooks are called at all: a kernel may have BPF LSM built in, yet not switched on. */
	if (heard && !*heard)
		*heard = 1;
	return refuse(HOOK_BPF_CALL);
}

SEC("lsm/perf_event_open")
int BPF_PROG(perf_event, void *attributes, int type)
{
	return refuse(HOOK_PERF_EVENT);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(kernel_read_file, struct file *file)
{
	return refuse(HOOK_KERNEL_MODULE);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(kernel_load_data, int id)
{
	return refuse(HOOK_KERNEL_LOAD);
}

SEC("lsm/sb_mount")
int BPF_PROG(sb_mount, const char *name)
{
	return refuse(HOOK_SB_MOUNT);
}

SEC("lsm/sb_umount")
int BPF_PROG(sb_umount, struct vfsmount *mount)
{
	return refuse(HOOK_SB_UMOUNT);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(sb_pivotroot, const struct path *old_path)
{
	return refuse(HOOK_SB_PIVOTROOT);
}

SEC("lsm/sb_kern_mount")
int BPF_PROG(sb_kern_mount, struct super_block *sb)
{
	return refuse(HOOK_SB_KERN_MOUNT);
}

SEC("lsm/move_mount")
int BPF_PROG(move_mount, const struct path *from)
{
	return refuse(HOOK_MOVE_MOUNT);
}
