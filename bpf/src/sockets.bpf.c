/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sockets as LSM sees them: by the task's tag, and with what cgroup programs don't see (unix, packet, fast open). */

#define ADDRESS_V4_BYTES 8
#define ADDRESS_V6_BYTES 24

SEC("lsm/socket_create")
int BPF_PROG(socket_create, int family, int type, int protocol, int kern)
{
	struct subject subject;

	if (kern || !is_agent(&subject))
		return 0;
	if (subject.present) {
		bool stream = type == SOCK_STREAM &&
			      (!protocol || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
		bool datagram = type == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP);

		if (family == AF_UNIX || ((family == AF_INET || family == AF_INET6) && (stream || datagram)))
			return 0;
	}
	return deny_protected(&subject, HOOK_SOCKET_CREATE);
}

/* Reads an IP address as the socket would take it. False: it isn't one, or too short. */
static __always_inline bool read_address(struct sock *sk, const void *address, int bytes, struct destination *to)
{
	struct sockaddr_in6 v6 = {};
	__u16 family = 0;

	if (!sk)
		return false;
	bpf_probe_read_kernel(&family, sizeof(family), address);
	/* Without a family it is an IPv4 address to an IPv4 socket. */
	if (family == AF_INET || (family == AF_UNSPEC && sk->__sk_common.skc_family == AF_INET)) {
		struct sockaddr_in v4 = {};
		__u32 word;

		if (bytes < ADDRESS_V4_BYTES || bpf_probe_read_kernel(&v4, sizeof(v4), address))
			return false;
		__builtin_memcpy(&word, v4.sin_addr, 4);
		set_v4(to, word);
		to->port = bpf_ntohs(v4.sin_port);
	} else if (family == AF_INET6) {
		__u32 words[4];

		if (bytes < ADDRESS_V6_BYTES || bpf_probe_read_kernel(&v6, ADDRESS_V6_BYTES, address))
			return false;
		__builtin_memcpy(words, v6.sin6_addr, 16);
		set_v6(to, words);
		to->port = bpf_ntohs(v6.sin6_port);
	} else {
		return false;
	}
	to->protocol = protocol_of(sk->sk_type, sk->sk_protocol);
	return true;
}

static __always_inline __u16 family_of(const void *address)
{
	__u16 family = 0;

	bpf_probe_read_kernel(&family, sizeof(family), address);
	return family;
}

static __always_inline int deny_socket(const struct subject *subject, __u8 hook, int error)
{
	struct denial denial = {
		.hook = hook,
		.reason = subject->present ? REASON_PROTECTED : REASON_NO_RULES,
		.policy = POLICY_NONE,
	};

	return deny(subject, &denial, error);
}

SEC("lsm/socket_connect")
int BPF_PROG(socket_connect, struct socket *sock, struct sockaddr *address, int bytes)
{
	struct subject subject;
	struct destination to;
	__u16 family = family_of(address);

	/* AF_UNSPEC takes a connection back; unix sockets have hooks of their own. */
	if (family == AF_UNIX || family == AF_UNSPEC || !is_agent(&subject))
		return 0;
	if (!read_address(sock->sk, address, bytes, &to))
		return deny_socket(&subject, HOOK_SOCKET_CONNECT, ECONNREFUSED);
	return judge_connect(&subject, &to, HOOK_SOCKET_CONNECT);
}

/* The other end of a connection made before, by whomever: only judged where the class says so. */
static __always_inline bool read_peer(struct sock *sk, struct destination *to)
{
	__u16 port = bpf_ntohs(sk->__sk_common.skc_dport);

	if (!port)
		return false;
	if (sk->__sk_common.skc_family == AF_INET) {
		set_v4(to, sk->__sk_common.skc_daddr);
	} else {
		__u32 words[4];

		BPF_CORE_READ_INTO(&words, sk, __sk_common.skc_v6_daddr);
		set_v6(to, words);
	}
	to->port = port;
	to->protocol = protocol_of(sk->sk_type, sk->sk_protocol);
	return true;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(socket_sendmsg, struct socket *sock, struct msghdr *message)
{
	struct subject subject;
	struct destination to;
	struct sock *sk = sock->sk;
	void *name = message->msg_name;
	__u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family == AF_UNIX || !is_agent(&subject))
		return 0;
	if (family != AF_INET && family != AF_INET6)
		return deny_socket(&subject, HOOK_SOCKET_SENDMSG, ECONNREFUSED);
	if (!name || (family == AF_INET6 && family_of(name) == AF_UNSPEC)) {
		if (!(subject.flags & CLASS_REVALIDATE) || !read_peer(sk, &to))
			return 0;
		return judge_connect(&subject, &to, HOOK_SOCKET_SENDMSG);
	}
	if (!read_address(sk, name, message->msg_namelen, &to))
		return deny_socket(&subject, HOOK_SOCKET_SENDMSG, ECONNREFUSED);
	return judge_connect(&subject, &to, HOOK_SOCKET_SENDMSG);
}

SEC("lsm/socket_bind")
int BPF_PROG(socket_bind, struct socket *sock, struct sockaddr *address, int bytes)
{
	struct subject subject;
	struct destination to;
	struct sock *sk = sock->sk;

	/* A unix socket's name is a file, made by path_mknod, or lasts no longer than the socket. */
	if (!sk || sk->__sk_common.skc_family == AF_UNIX || !is_agent(&subject))
		return 0;
	if (!read_address(sk, address, bytes, &to))
		return deny_socket(&subject, HOOK_SOCKET_BIND, EPERM);
	return judge_bind(&subject, &to, HOOK_SOCKET_BIND);
}

SEC("lsm/socket_listen")
int BPF_PROG(socket_listen, struct socket *sock)
{
	struct subject subject;
	struct destination to;
	struct sock *sk = sock->sk;
	__u32 any[4] = {};
	__u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	/* A port that was bound has been judged; without one the kernel takes a free one now. */
	if ((family != AF_INET && family != AF_INET6) || sk->__sk_common.skc_num || !is_agent(&subject))
		return 0;
	if (family == AF_INET)
		set_v4(&to, 0);
	else
		set_v6(&to, any);
	to.port = 0;
	to.protocol = protocol_of(sk->sk_type, sk->sk_protocol);
	return judge_bind(&subject, &to, HOOK_SOCKET_LISTEN);
}

/* A unix socket is a file to be written to; without a name it is for the class that made it. */
static __noinline int judge_unix(struct sock *other, __u8 hook)
{
	struct unix_sock *peer = (void *)other;
	struct permission permission = { .reason = REASON_NOT_PERMITTED, .policy = POLICY_NONE };
	__u64 cgroup = BPF_CORE_READ(other, sk_cgrp_data.cgroup, kn, id);
	struct subject subject;
	struct place place;
	__u32 *class;

	if (!is_agent(&subject))
		return 0;
	class = bpf_map_lookup_elem(&cgroups, &cgroup);
	if (subject.present && (cgroup == bpf_get_current_cgroup_id() || (class && *class == subject.class)))
		return 0;
	place.dentry = BPF_CORE_READ(peer, path.dentry);
	place.mount = BPF_CORE_READ(peer, path.mnt);
	if (place.dentry)
		return judge_place(&subject, &place, hook, FILE_WRITE, ECONNREFUSED);
	return deny_place(&subject, &permission, hook, 0, ECONNREFUSED);
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(unix_connect, struct sock *sock, struct sock *other)
{
	return judge_unix(other, HOOK_UNIX_CONNECT);
}

SEC("lsm/unix_may_send")
int BPF_PROG(unix_send, struct socket *sock, struct socket *other)
{
	struct unix_sock *self = (void *)sock->sk;

	struct sock *peer = other->sk;

	/* Connected before: judged then, or handed down. */
	if (!self || !peer || BPF_CORE_READ(self, peer) == peer)
		return 0;
	return judge_unix(peer, HOOK_UNIX_SEND);
}
