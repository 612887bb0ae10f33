/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * All state. Two slots hold the rules of two generations; a program reads the active word once and stays with that
 * slot, and the loader refills a slot only after every program that may read it has ended.
 */
#ifndef HOPGATE_MAPS_BPF_H
#define HOPGATE_MAPS_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONTROL_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} control SEC(".maps");

/* cgroup id → class. What the loader registers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} cgroups SEC(".maps");

/* A name keeps its identifier for as long as the maps are pinned: tasks carry identifiers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASS_IDS);
	__type(key, __u32);
	__type(value, struct class_name);
} names SEC(".maps");

/* Why LSM isn't in use, as text; empty if it is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, NOTE_BYTES);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct bundle);
} bundles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tag);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS * CLASS_IDS);
	__type(key, __u32);
	__type(value, struct class_rules);
} rules SEC(".maps");

/* Inner maps are made by the loader. value_size and not __type: clang 14 loses the type of an inner map's value. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS * CLASS_IDS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct automaton));
	});
} automata SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS * CLASS_IDS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(struct anchor_key));
		__uint(value_size, sizeof(struct anchor));
	});
} anchors SEC(".maps");

struct address_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct address_key));
	__uint(value_size, sizeof(struct address_ports));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS * CLASS_IDS);
	__type(key, __u32);
	__array(values, struct address_table);
} connects SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS * CLASS_IDS);
	__type(key, __u32);
	__array(values, struct address_table);
} binds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASS_IDS * HOOK_COUNT);
	__type(key, __u32);
	__type(value, struct counts);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

#endif
