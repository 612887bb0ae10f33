/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The network half that needs no LSM: programs on the root cgroup, by the cgroup of the process. */

/* What a cgroup program returns: 1 goes on, 0 with an errno stops. */
static __always_inline int answer(int verdict)
{
	if (!verdict)
		return 1;
	bpf_set_retval(verdict);
	return 0;
}

static __always_inline bool begin(struct bpf_sock_addr *ctx, struct subject *subject, struct destination *to, bool v6)
{
	if (!is_in_agent_cgroup(subject))
		return false;
	if (v6) {
		__u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

		set_v6(to, address);
	} else {
		set_v4(to, ctx->user_ip4);
	}
	to->port = bpf_ntohs(ctx->user_port);
	to->protocol = protocol_of(ctx->type, ctx->protocol);
	return true;
}

#define CONNECT_PROGRAM(section, name, v6, hook)                                                                       \
	SEC(section) int name(struct bpf_sock_addr *ctx)                                                               \
	{                                                                                                              \
		struct subject subject;                                                                                \
		struct destination to;                                                                                 \
                                                                                                                       \
		return begin(ctx, &subject, &to, v6) ? answer(judge_connect(&subject, &to, hook)) : 1;                 \
	}

#define BIND_PROGRAM(section, name, v6, hook)                                                                          \
	SEC(section) int name(struct bpf_sock_addr *ctx)                                                               \
	{                                                                                                              \
		struct subject subject;                                                                                \
		struct destination to;                                                                                 \
                                                                                                                       \
		return begin(ctx, &subject, &to, v6) ? answer(judge_bind(&subject, &to, hook)) : 1;                    \
	}

CONNECT_PROGRAM("cgroup/connect4", connect4, false, HOOK_CONNECT4)
CONNECT_PROGRAM("cgroup/connect6", connect6, true, HOOK_CONNECT6)
CONNECT_PROGRAM("cgroup/sendmsg4", sendmsg4, false, HOOK_SENDMSG4)
CONNECT_PROGRAM("cgroup/sendmsg6", sendmsg6, true, HOOK_SENDMSG6)
BIND_PROGRAM("cgroup/bind4", bind4, false, HOOK_BIND4)
BIND_PROGRAM("cgroup/bind6", bind6, true, HOOK_BIND6)

SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *ctx)
{
	struct subject subject;

	if (!is_in_agent_cgroup(&subject))
		return 1;
	if (subject.present && protocol_of(ctx->type, ctx->protocol))
		return 1;
	return answer(deny_protected(&subject, HOOK_SOCK_CREATE));
}
