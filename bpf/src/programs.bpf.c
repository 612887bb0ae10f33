/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Running programs and mapping code. */

#define PROT_EXEC 4

SEC("lsm/bprm_check_security")
int BPF_PROG(bprm_check, struct linux_binprm *bprm)
{
	struct subject subject;

	if (!is_agent(&subject))
		return 0;
	/* Asked again for the interpreter of a script: both need the action. */
	return judge_file(&subject, bprm->file, HOOK_BPRM_CHECK, FILE_EXEC);
}

static __always_inline int judge_anonymous(__u8 hook)
{
	struct subject subject;

	if (!is_agent(&subject) || (subject.present && !(subject.flags & CLASS_DENY_ANONYMOUS)))
		return 0;
	return deny_protected(&subject, hook);
}

static __always_inline int judge_code(struct file *file, __u8 hook)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct place place;
	struct permission permission;
	struct subject subject;
	struct dentry *layer;

	if (!is_agent(&subject))
		return 0;
	/* While execve runs, the kernel itself maps the program and its linker. */
	if (!BPF_CORE_READ_BITFIELD(task, in_execve) || kind_of(file, &layer) != KIND_NAMED)
		return judge_file(&subject, file, hook, FILE_LOAD);
	place.dentry = file->f_path.dentry;
	place.mount = file->f_path.mnt;
	permission_at(&subject, &place, FILE_LOAD, &permission);
	if (permission.mask & (FILE_EXEC | FILE_LOAD))
		return 0;
	return deny_place(&subject, &permission, hook, FILE_LOAD, EPERM);
}

SEC("lsm/mmap_file")
int BPF_PROG(mmap_file, struct file *file, unsigned long requested, unsigned long protection)
{
	__u64 address = 0;

	if (!((requested | protection) & PROT_EXEC))
		return 0;
	/*
	 * Some kernels (6.12) take the argument for a pointer that is never NULL, and their verifier removes a test of
	 * it: so the number itself is read.
	 */
	bpf_probe_read_kernel(&address, sizeof(address), ctx);
	if (!address)
		return judge_anonymous(HOOK_MMAP_FILE);
	return judge_code(file, HOOK_MMAP_FILE);
}

SEC("lsm/file_mprotect")
int BPF_PROG(file_mprotect, struct vm_area_struct *area, unsigned long requested, unsigned long protection)
{
	if (!((requested | protection) & PROT_EXEC))
		return 0;
	if (!BPF_CORE_READ(area, vm_file))
		return judge_anonymous(HOOK_FILE_MPROTECT);
	return judge_code(area->vm_file, HOOK_FILE_MPROTECT);
}
