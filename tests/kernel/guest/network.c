/* Connections, datagrams and sockets: rows 1, 30 to 36. Ports: 7001 and 7003 permitted, 7002 and 7004 not. */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/if_alg.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MSG_FASTOPEN_ 0x20000000

static int held = -1;

static socklen_t fill(struct sockaddr_storage *to, int family, const char *host, int port)
{
	struct sockaddr_in *v4 = (void *)to;
	struct sockaddr_in6 *v6 = (void *)to;

	memset(to, 0, sizeof(*to));
	to->ss_family = family;
	if (family == AF_INET) {
		v4->sin_port = htons(port);
		inet_pton(AF_INET, host, &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, host, &v6->sin6_addr);
	return sizeof(*v6);
}

static int connect_with(int fd, int family, const char *host, int port)
{
	struct sockaddr_storage to;
	socklen_t bytes = fill(&to, family, host, port);

	return fd < 0 ? errno : seen(connect(fd, (void *)&to, bytes));
}

static int send_with(int fd, int family, const char *host, int port, int flags)
{
	struct sockaddr_storage to;
	socklen_t bytes = fill(&to, family, host, port);

	return fd < 0 ? errno : seen(sendto(fd, "x", 1, flags, (void *)&to, bytes));
}

#define TCP(name, family, host, port)                                                                                  \
	static int name(void)                                                                                          \
	{                                                                                                              \
		return connect_with(socket(family, SOCK_STREAM, 0), family, host, port);                               \
	}
#define UDP(name, family, host, port)                                                                                  \
	static int name(void)                                                                                          \
	{                                                                                                              \
		return send_with(socket(family, SOCK_DGRAM, 0), family, host, port, 0);                                \
	}
#define SOCKET(name, family, type, protocol)                                                                           \
	static int name(void)                                                                                          \
	{                                                                                                              \
		return seen(socket(family, type, protocol));                                                           \
	}

TCP(tcp4_permitted, AF_INET, "127.0.0.1", 7001)
TCP(tcp6_permitted, AF_INET6, "::1", 7001)
TCP(mapped_permitted, AF_INET6, "::ffff:127.0.0.1", 7001)
TCP(tcp4, AF_INET, "127.0.0.1", 7002)
TCP(tcp4_forbidden, AF_INET, "127.0.0.9", 7001)
TCP(tcp6, AF_INET6, "::1", 7002)
TCP(mapped, AF_INET6, "::ffff:127.0.0.1", 7002)
TCP(any4, AF_INET, "0.0.0.0", 7002)
TCP(any6, AF_INET6, "::", 7002)
TCP(any4_permitted, AF_INET, "0.0.0.0", 7001)
TCP(any_mapped, AF_INET6, "::ffff:0.0.0.0", 7002)
UDP(udp4_permitted, AF_INET, "127.0.0.1", 7003)
UDP(udp4, AF_INET, "127.0.0.1", 7004)
UDP(udp6, AF_INET6, "::1", 7004)
UDP(udp_mapped, AF_INET6, "::ffff:127.0.0.1", 7004)
SOCKET(raw4, AF_INET, SOCK_RAW, IPPROTO_ICMP)
SOCKET(raw6, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
SOCKET(packet, AF_PACKET, SOCK_RAW, htons(3))
SOCKET(vsock, AF_VSOCK, SOCK_STREAM, 0)
SOCKET(alg, AF_ALG, SOCK_SEQPACKET, 0)
SOCKET(netlink, AF_NETLINK, SOCK_RAW, 0)

static int mptcp(void)
{
	return connect_with(socket(AF_INET, SOCK_STREAM, 262), AF_INET, "127.0.0.1", 7002);
}

static int udp_connect(void)
{
	return connect_with(socket(AF_INET, SOCK_DGRAM, 0), AF_INET, "127.0.0.1", 7004);
}

static int udp_unspecified_family(void)
{
	struct sockaddr_storage to;
	socklen_t bytes = fill(&to, AF_INET, "127.0.0.1", 7004);

	to.ss_family = AF_UNSPEC;
	return seen(sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (void *)&to, bytes));
}

static int udp_many(void)
{
	struct sockaddr_storage to;
	struct iovec part = { "x", 1 };
	struct mmsghdr messages[2] = { 0 };

	for (int i = 0; i < 2; i++) {
		messages[i].msg_hdr.msg_iov = &part;
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &to;
		messages[i].msg_hdr.msg_namelen = fill(&to, AF_INET, "127.0.0.1", 7004);
	}
	return seen(sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), messages, 2, 0));
}

static int fast_open(void)
{
	return send_with(socket(AF_INET, SOCK_STREAM, 0), AF_INET, "127.0.0.1", 7002, MSG_FASTOPEN_);
}

static int by_uring(void)
{
	struct sockaddr_storage to;
	socklen_t bytes = fill(&to, AF_INET, "127.0.0.1", 7002);

	return uring_connect(socket(AF_INET, SOCK_STREAM, 0), &to, bytes);
}

static void hold_socket(void)
{
	held = socket(AF_INET, SOCK_STREAM, 0);
}

static int inherited(void)
{
	return connect_with(held, AF_INET, "127.0.0.1", 7002);
}

static void hold_connection(void)
{
	hold_socket();
	inherited();
}

static int send_held(void)
{
	return seen(send(held, "x", 1, 0));
}

static int bind_to(int port)
{
	struct sockaddr_storage to;
	socklen_t bytes = fill(&to, AF_INET, "127.0.0.1", port);

	return seen(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, bytes));
}

static int bind_permitted(void)
{
	return bind_to(7010);
}

static int bind_denied(void)
{
	return bind_to(7011);
}

static int listen_unbound(void)
{
	return seen(listen(socket(AF_INET, SOCK_STREAM, 0), 1));
}

static socklen_t fill_unix(struct sockaddr_un *to, const char *name)
{
	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	strcpy(to->sun_path, name);
	if (*name != '@')
		return sizeof(*to);
	to->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

static int unix_to(const char *name, int type)
{
	struct sockaddr_un to;
	socklen_t bytes = fill_unix(&to, name);

	return seen(connect(socket(AF_UNIX, type, 0), (void *)&to, bytes));
}

static int unix_stream(void)
{
	return unix_to("/out/stream", SOCK_STREAM);
}

static int unix_abstract(void)
{
	return unix_to("@stream", SOCK_STREAM);
}

static int unix_datagram(void)
{
	return unix_to("/out/datagram", SOCK_DGRAM);
}

static int unix_send_datagram(void)
{
	struct sockaddr_un to;
	socklen_t bytes = fill_unix(&to, "/out/datagram");

	return seen(sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, MSG_DONTWAIT, (void *)&to, bytes));
}

static int unix_permitted(void)
{
	return unix_to("/work/stream", SOCK_STREAM);
}

static int unix_pair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) ? errno : seen(send(pair[0], "x", 1, 0));
}

/* Among themselves, even without a name in the file system. */
static int unix_own(void)
{
	struct sockaddr_un to;
	socklen_t bytes = fill_unix(&to, "@own");
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (bind(listener, (void *)&to, bytes) || listen(listener, 1))
		return BROKEN;
	bytes = fill_unix(&to, "@own");
	return seen(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, bytes));
}

static void serve(int family, int type, const char *host, int port)
{
	struct sockaddr_storage at;
	socklen_t bytes = fill(&at, family, host, port);
	int fd = socket(family, type, 0), on = 1;

	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &on, sizeof(on));
	if (bind(fd, (void *)&at, bytes) || (type == SOCK_STREAM && listen(fd, 512)))
		say("broken: server on %s port %d: %s\n", host, port, strerror(errno));
}

static void serve_unix(const char *name, int type)
{
	struct sockaddr_un at;
	socklen_t bytes = fill_unix(&at, name);
	int fd = socket(AF_UNIX, type, 0);

	if (bind(fd, (void *)&at, bytes) || (type == SOCK_STREAM && listen(fd, 512)))
		say("broken: server at %s: %s\n", name, strerror(errno));
}

void start_servers(void)
{
	put("/proc/sys/net/ipv4/tcp_fastopen", "3");
	put("/proc/sys/net/core/somaxconn", "512");
	for (int port = 7001; port <= 7002; port++) {
		serve(AF_INET, SOCK_STREAM, "0.0.0.0", port);
		serve(AF_INET6, SOCK_STREAM, "::", port);
	}
	serve(AF_INET, SOCK_DGRAM, "127.0.0.1", 7003);
	serve(AF_INET, SOCK_DGRAM, "127.0.0.1", 7004);
	serve(AF_INET6, SOCK_DGRAM, "::1", 7004);
	serve_unix("/out/stream", SOCK_STREAM);
	serve_unix("/work/stream", SOCK_STREAM);
	serve_unix("@stream", SOCK_STREAM);
	serve_unix("/out/datagram", SOCK_DGRAM);
}

const struct probe network_probes[] = {
	{ "tcp4-permitted", "plain", NULL, NULL, tcp4_permitted },
	{ "tcp6-permitted", "plain", NULL, NULL, tcp6_permitted },
	{ "tcp-mapped-permitted", "plain", NULL, NULL, mapped_permitted },
	{ "tcp4", "plain", NULL, NULL, tcp4 },
	{ "tcp4-forbidden", "plain", NULL, NULL, tcp4_forbidden },
	{ "tcp6", "plain", NULL, NULL, tcp6 },
	{ "tcp-mapped", "plain", NULL, NULL, mapped },
	{ "tcp-any4", "plain", NULL, NULL, any4 },
	{ "tcp-any6", "plain", NULL, NULL, any6 },
	{ "tcp-any-mapped", "plain", NULL, NULL, any_mapped },
	{ "tcp-any4-permitted", "plain", NULL, NULL, any4_permitted },
	{ "mptcp", "plain", NULL, NULL, mptcp },
	{ "uring-connect", "plain", NULL, NULL, by_uring },
	{ "inherited-socket", "plain", NULL, hold_socket, inherited },
	{ "fast-open", "plain", NULL, NULL, fast_open },
	{ "udp4-permitted", "plain", NULL, NULL, udp4_permitted },
	{ "udp4", "plain", NULL, NULL, udp4 },
	{ "udp6", "plain", NULL, NULL, udp6 },
	{ "udp-mapped", "plain", NULL, NULL, udp_mapped },
	{ "udp-connect", "plain", NULL, NULL, udp_connect },
	{ "udp-unspecified-family", "plain", NULL, NULL, udp_unspecified_family },
	{ "udp-sendmmsg", "plain", NULL, NULL, udp_many },
	{ "raw4", "plain", NULL, NULL, raw4 },
	{ "raw6", "plain", NULL, NULL, raw6 },
	{ "packet", "plain", NULL, NULL, packet },
	{ "vsock", "plain", NULL, NULL, vsock },
	{ "alg", "plain", NULL, NULL, alg },
	{ "netlink", "plain", NULL, NULL, netlink },
	{ "unix-stream", "plain", NULL, NULL, unix_stream },
	{ "unix-abstract", "plain", NULL, NULL, unix_abstract },
	{ "unix-datagram", "plain", NULL, NULL, unix_datagram },
	{ "unix-datagram-send", "plain", NULL, NULL, unix_send_datagram },
	{ "unix-permitted", "plain", NULL, NULL, unix_permitted },
	{ "unix-pair", "plain", NULL, NULL, unix_pair },
	{ "unix-own", "plain", NULL, NULL, unix_own },
	{ "connected-before", "plain", NULL, hold_connection, send_held },
	{ "connected-before-revalidated", "strict", NULL, hold_connection, send_held },
	{ "bind-permitted", "plain", NULL, NULL, bind_permitted },
	{ "bind-denied", "plain", NULL, NULL, bind_denied },
	{ "listen-unbound", "plain", NULL, NULL, listen_unbound },
	{ "audit-tcp4", "audit", NULL, NULL, tcp4 },
	{ "empty-tcp4", "empty", NULL, NULL, tcp4_permitted },
	{ 0 },
};
