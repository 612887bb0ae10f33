/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which class the running task belongs to, and which rules are in force for it. Judges nothing. */
#ifndef HOPGATE_SUBJECT_BPF_H
#define HOPGATE_SUBJECT_BPF_H

struct subject {
	__u32 class; /* 0: not an agent, nothing is judged */
	__u32 flags; /* CLASS_* */
	__u32 index; /* of its rules in the active slot */
	__u32 anchors;
	__u64 generation;
	bool present; /* has rules in this generation */
};

static __always_inline __u64 control_word(__u32 which)
{
	__u64 *word = bpf_map_lookup_elem(&control, &which);

	return word ? *(volatile __u64 *)word : 0;
}

/* The deepest registered cgroup wins; *home is that cgroup. */
static __noinline __u32 class_of_cgroup(__u64 *home)
{
	__u32 class = 0;

	for (int level = 1; level <= CGROUP_LEVELS; level++) {
		__u64 ancestor = bpf_get_current_ancestor_cgroup_id(level);
		__u32 *found;

		if (!ancestor)
			break;
		found = bpf_map_lookup_elem(&cgroups, &ancestor);
		if (found) {
			class = *found;
			*home = ancestor;
		}
	}
	return class;
}

/*
 * A task that has a class keeps it wherever it is moved: only the registration of the cgroup that gave it can change
 * it. One that has none is looked up again when its cgroup or any registration has changed.
 */
static __always_inline __u32 class_of_task(__u64 joins)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 home = bpf_get_current_cgroup_id();
	struct tag *tag = bpf_task_storage_get(&tags, task, 0, 0);
	__u32 class, *found;

	if (tag && tag->joins == (__u32)joins && (tag->class || tag->home == home))
		return tag->class;
	if (tag && tag->class) {
		home = tag->home;
		found = bpf_map_lookup_elem(&cgroups, &home);
		if (found)
			tag->class = *found;
		tag->joins = joins;
		return tag->class;
	}
	class = class_of_cgroup(&home);
	if (!tag)
		tag = bpf_task_storage_get(&tags, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (tag) {
		tag->home = home;
		tag->class = class;
		tag->joins = joins;
	}
	return class;
}

static __always_inline void read_rules(struct subject *subject, __u32 class)
{
	__u64 active = control_word(CONTROL_ACTIVE);
	struct class_rules *found;

	subject->class = class;
	subject->index = RULES_INDEX(active & 1, class);
	subject->generation = active >> 1;
	found = bpf_map_lookup_elem(&rules, &subject->index);
	if (!found)
		return;
	subject->flags = found->flags;
	subject->anchors = found->anchors;
	subject->present = found->present;
}

/* For LSM programs: by tag. False: not an agent. */
static __always_inline bool is_agent(struct subject *subject)
{
	__u64 joins = control_word(CONTROL_JOINS);
	__u32 class;

	__builtin_memset(subject, 0, sizeof(*subject));
	if (!joins)
		return false;
	class = class_of_task(joins);
	if (!class)
		return false;
	read_rules(subject, class);
	return true;
}

/* For cgroup programs, which can't read task storage: by cgroup alone. */
static __always_inline bool is_in_agent_cgroup(struct subject *subject)
{
	__u64 home = 0;
	__u32 class;

	__builtin_memset(subject, 0, sizeof(*subject));
	if (!control_word(CONTROL_JOINS))
		return false;
	class = class_of_cgroup(&home);
	if (!class)
		return false;
	read_rules(subject, class);
	return true;
}

#endif
