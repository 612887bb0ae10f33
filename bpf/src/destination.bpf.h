/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Whether an address, port and protocol may be connected to, or bound. */
#ifndef HOPGATE_DESTINATION_BPF_H
#define HOPGATE_DESTINATION_BPF_H

struct destination {
	struct address_key key;
	__u16 port; /* host order */
	__u8 protocol; /* PROTOCOL_*, 0: another, denied */
};

static __always_inline void set_v4(struct destination *to, __u32 address)
{
	__builtin_memset(&to->key, 0, sizeof(to->key));
	to->key.prefix_bits = 128;
	to->key.address[10] = 0xff;
	to->key.address[11] = 0xff;
	__builtin_memcpy(&to->key.address[12], &address, 4);
}

static __always_inline void set_v6(struct destination *to, const __u32 *address)
{
	to->key.prefix_bits = 128;
	__builtin_memcpy(to->key.address, address, 16);
}

/* Connecting to "any" reaches this host: judged as the loopback address that the kernel takes instead. */
static __always_inline void take_loopback(struct destination *to)
{
	__u32 words[4];

	__builtin_memcpy(words, to->key.address, 16);
	if (words[0] || words[1] || words[3])
		return;
	if (words[2] == bpf_htonl(0xffff))
		words[3] = bpf_htonl(0x7f000001);
	else if (!words[2])
		words[3] = bpf_htonl(1);
	__builtin_memcpy(to->key.address, words, 16);
}

static __always_inline __u8 protocol_of(__u32 type, __u32 protocol)
{
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
		return PROTOCOL_TCP;
	if (type == SOCK_DGRAM && protocol == IPPROTO_UDP)
		return PROTOCOL_UDP;
	return 0;
}

static __always_inline bool is_permitted(const struct subject *subject, void *tables, const struct destination *to,
					 struct denial *denial)
{
	__u32 index = subject->index;
	struct address_ports *found;
	void *table;
	bool permitted = false;

	denial->reason = REASON_NO_RULES;
	if (!subject->present)
		return false;
	table = bpf_map_lookup_elem(tables, &index);
	if (!table)
		return false;
	denial->reason = REASON_NOT_PERMITTED;
	found = bpf_map_lookup_elem(table, &to->key);
	if (!found || !to->protocol)
		return false;
	for (int i = 0; i < IMAGE_MAX_PORTS; i++) {
		struct image_port *entry = &found->ports[i];

		if (i >= found->count)
			break;
		if (to->port < entry->first || to->port > entry->last || !(entry->protocols & to->protocol))
			continue;
		if (entry->effect != PORT_PERMIT) {
			denial->reason = REASON_FORBIDDEN;
			denial->policy = entry->policy;
			return false;
		}
		permitted = true;
	}
	return permitted;
}

static __always_inline void describe(struct denial *denial, const struct destination *to)
{
	denial->port = to->port;
	denial->protocol = to->protocol;
	denial->has_address = 1;
	__builtin_memcpy(denial->address, to->key.address, 16);
}

static __noinline int judge_connect(const struct subject *subject, struct destination *to, __u8 hook)
{
	struct denial denial = { .hook = hook, .policy = POLICY_NONE };

	take_loopback(to);
	if (is_permitted(subject, &connects, to, &denial))
		return 0;
	describe(&denial, to);
	return deny(subject, &denial, ECONNREFUSED);
}

static __noinline int judge_bind(const struct subject *subject, struct destination *to, __u8 hook)
{
	struct denial denial = { .hook = hook, .policy = POLICY_NONE };

	if (is_permitted(subject, &binds, to, &denial))
		return 0;
	describe(&denial, to);
	return deny(subject, &denial, EPERM);
}

#endif
