/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What a class may do at a place: its automaton over the path, minus what anchors forbid. */
#ifndef HOPGATE_AUTOMATON_BPF_H
#define HOPGATE_AUTOMATON_BPF_H

struct permission {
	__u8 mask;   /* FILE_* */
	__u8 reason; /* why what isn't in mask is denied */
	__u16 policy;
	__u32 path_bytes;
	const char *path; /* in the task's scratch */
};

struct run {
	struct scratch *scratch;
	struct automaton *automaton;
	__u32 at;
	__u32 state;
};

static long step(__u32 number, struct run *run)
{
	__u32 class, next;

	class = run->automaton->byte_class[(__u8)run->scratch->path[run->at & (PATH_BYTES - 1)]];
	next = run->state * run->automaton->byte_classes + class;
	if (next >= IMAGE_MAX_TRANSITIONS) {
		run->state = IMAGE_MAX_STATES;
		return 1;
	}
	run->state = run->automaton->next[next];
	run->at++;
	return 0;
}

static __always_inline __u8 accepted(const struct subject *subject, struct scratch *scratch, __u32 start)
{
	__u32 index = subject->index, first = 0;
	void *table = bpf_map_lookup_elem(&automata, &index);
	struct run run = { .scratch = scratch, .at = start };

	if (!table)
		return 0;
	run.automaton = bpf_map_lookup_elem(table, &first);
	if (!run.automaton || !run.automaton->states)
		return 0;
	bpf_loop(PATH_BYTES - start, step, &run, 0);
	if (run.state >= IMAGE_MAX_STATES)
		return 0;
	return run.automaton->accept[run.state];
}

static __noinline void permission_at(const struct subject *subject, struct place *place, __u8 wanted,
				     struct permission *permission)
{
	struct trace trace;
	struct climb climb;

	permission->mask = 0;
	permission->policy = POLICY_NONE;
	permission->path = NULL;
	permission->path_bytes = 0;
	permission->reason = REASON_NO_RULES;
	if (!subject->present)
		return;
	trace_path(&trace, place);
	permission->reason = trace.reason;
	if (trace.reason != REASON_NONE)
		return;
	permission->path = &trace.scratch->path[trace.start & (PATH_BYTES - 1)];
	permission->path_bytes = PATH_BYTES - trace.start;
	permission->reason = REASON_NOT_PERMITTED;
	permission->mask = accepted(subject, trace.scratch, trace.start);
	if (!subject->anchors)
		return;
	climb_anchors(subject, place->dentry, wanted, &climb);
	if (climb.reason != REASON_NONE) {
		permission->mask = 0;
		permission->reason = climb.reason;
		return;
	}
	if (climb.forbidden & wanted) {
		permission->reason = REASON_FORBIDDEN;
		permission->policy = climb.policy;
	}
	permission->mask &= ~climb.forbidden;
	if (climb.forbidden)
		permission->mask &= ~FILE_WHOLE;
	if ((climb.forbidden & FILE_ACTIONS) == FILE_ACTIONS)
		permission->mask &= ~FILE_LEADS;
}

static __always_inline int deny_place(const struct subject *subject, const struct permission *permission, __u8 hook,
				      __u8 wanted, int error)
{
	struct denial denial = {
		.hook = hook,
		.reason = permission->reason,
		.policy = permission->policy,
		.wanted = wanted,
		.path = permission->path,
		.path_bytes = permission->path_bytes,
	};

	return deny(subject, &denial, error);
}

/* Every action of wanted, at one place; 0 or the hook's answer. */
static __noinline int judge_place(const struct subject *subject, struct place *place, __u8 hook, __u8 wanted, int error)
{
	struct permission permission;

	permission_at(subject, place, wanted, &permission);
	if ((permission.mask & wanted) == wanted)
		return 0;
	return deny_place(subject, &permission, hook, wanted, error);
}

/* What a hidden place looks like. */
static __always_inline int hidden(const struct subject *subject)
{
	return subject->flags & CLASS_HIDE ? ENOENT : EPERM;
}

#endif
