/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What becomes of a denial: it is counted and reported, and in audit mode let through. */
#ifndef HOPGATE_VERDICT_BPF_H
#define HOPGATE_VERDICT_BPF_H

struct denial {
	__u8 hook;
	__u8 reason;
	__u16 policy;
	__u8 wanted;
	__u8 protocol;
	__u16 port;
	__u8 has_address;
	__u8 address[16];
	const char *path; /* its end; NULL: none */
	__u32 path_bytes;
};

static __always_inline void report(const struct subject *subject, const struct denial *denial, int given)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u64 id = bpf_get_current_pid_tgid();
	__u32 first = 0;

	if (!event) {
		__u64 *missed = bpf_map_lookup_elem(&lost, &first);
		if (missed)
			*missed += 1;
		return;
	}
	event->nanoseconds = bpf_ktime_get_ns();
	event->generation = subject->generation;
	event->cgroup = bpf_get_current_cgroup_id();
	event->class = subject->class;
	event->process = id >> 32;
	event->thread = id;
	event->user = bpf_get_current_uid_gid();
	event->errno_given = given;
	event->policy = denial->policy;
	event->port = denial->port;
	event->hook = denial->hook;
	event->reason = denial->reason;
	event->wanted = denial->wanted;
	event->protocol = denial->protocol;
	event->has_address = denial->has_address;
	__builtin_memcpy(event->address, denial->address, sizeof(event->address));
	bpf_get_current_comm(event->command, sizeof(event->command));
	event->path_bytes = 0;
	event->path_cut = 0;
	if (denial->path) {
		__u32 bytes = denial->path_bytes;
		const char *from = denial->path;

		if (bytes > EVENT_PATH) {
			from += bytes - EVENT_PATH;
			bytes = EVENT_PATH;
			event->path_cut = 1;
		}
		if (bytes <= EVENT_PATH && !bpf_probe_read_kernel(event->path, bytes, from))
			event->path_bytes = bytes;
	}
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* The number to return: -error, or 0 where the class is only watched. */
static __noinline int deny(const struct subject *subject, const struct denial *denial, int error)
{
	__u32 key = subject->class * HOOK_COUNT + denial->hook;
	struct counts *counts = bpf_map_lookup_elem(&counters, &key);
	bool audit = subject->present && (subject->flags & CLASS_AUDIT);

	if (counts && audit)
		counts->would_deny++;
	else if (counts)
		counts->denied++;
	if (audit) {
		report(subject, denial, 0);
		return 0;
	}
	report(subject, denial, -error);
	/* From branches, as literals: the verifier of newer kernels wants to see the range of an LSM's verdict. */
	if (error == ENOENT)
		return -ENOENT;
	if (error == ECONNREFUSED)
		return -ECONNREFUSED;
	return -EPERM;
}

/* For what no agent may do, whatever its policy. */
static __always_inline int deny_protected(const struct subject *subject, __u8 hook)
{
	struct denial denial = {
		.hook = hook,
		.reason = subject->present ? REASON_PROTECTED : REASON_NO_RULES,
		.policy = POLICY_NONE,
	};

	return deny(subject, &denial, EPERM);
}

#endif
