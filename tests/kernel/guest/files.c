/* Opening and looking at files: rows 1 to 6, 8, 11, 12, 15 to 18, 25, 26 of the matrix. */
#include "guest.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int held = -1;

static int open_as(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	return seen(fd);
}

#define OPENS(name, path, flags)                                                                                       \
	static int name(void)                                                                                          \
	{                                                                                                              \
		return open_as(path, flags);                                                                           \
	}

OPENS(permitted, "/work/ok.txt", O_RDWR)
OPENS(read_only, "/ro/data.txt", O_RDONLY)
OPENS(by_like, "/work/private/x", O_RDONLY)
OPENS(by_equality, "/work/secret.txt", O_RDONLY)
OPENS(by_default, "/out/file.txt", O_RDONLY)
OPENS(by_anchor, "/vault/v.txt", O_RDONLY)
OPENS(create_outside, "/out/new.txt", O_WRONLY | O_CREAT)
OPENS(create_inside, "/work/new.txt", O_WRONLY | O_CREAT)
OPENS(write_read_only, "/ro/data.txt", O_RDWR)
OPENS(truncate_read_only, "/ro/data.txt", O_RDONLY | O_TRUNC)
OPENS(for_ioctl, "/ro/data.txt", 3)
OPENS(by_symlink, "/work/link", O_RDONLY)
OPENS(by_dots, "/work/../vault/./v.txt", O_RDONLY)
OPENS(by_proc_root, "/proc/self/root/vault/v.txt", O_RDONLY)
OPENS(by_hard_link, "/work/hard", O_RDONLY)
OPENS(by_bind_mount, "/work/alias/d.txt", O_RDONLY)
OPENS(by_overlay, "/work/merged/v.txt", O_RDONLY)
OPENS(overlay_upper, "/work/merged/mine.txt", O_RDONLY)
OPENS(own_cgroup, "/sys/fs/cgroup/plain/cgroup.events", O_RDONLY)
OPENS(pins, "/sys/fs/bpf/hopgate", O_RDONLY | O_DIRECTORY)
OPENS(long_name, "/work/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", O_RDWR | O_CREAT)

static int by_proc_cwd(void)
{
	return chdir("/vault") ? BROKEN : open_as("/proc/self/cwd/v.txt", O_RDONLY);
}

static void make_link(void)
{
	unlink("/work/link");
	symlink("/vault/v.txt", "/work/link");
}

static void no_new(void)
{
	unlink("/out/new.txt");
	unlink("/work/new.txt");
	put("/ro/data.txt", "data");
}

static void upper_file(void)
{
	put("/work/merged/mine.txt", "mine");
}

static int stat_it(void)
{
	struct stat stat_;

	return seen(stat("/vault/v.txt", &stat_));
}

static int stat_parent(void)
{
	struct stat stat_;

	return seen(stat("/work", &stat_));
}

static void hold_path(void)
{
	held = open("/vault/v.txt", O_PATH);
}

static int fstat_it(void)
{
	struct stat stat_;

	return seen(fstat(held, &stat_));
}

static int bare_path(void)
{
	return open_as("/vault/v.txt", O_PATH);
}

static int access_it(void)
{
	return seen(access("/vault/v.txt", R_OK));
}

static int reopen(const char *path, int flags)
{
	char again[64];
	int fd = open(path, O_PATH);

	if (fd < 0)
		return BROKEN;
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	return open_as(again, flags);
}

static int reopen_path(void)
{
	return reopen("/vault/v.txt", O_RDONLY);
}

static int reopen_more(void)
{
	return reopen("/ro/data.txt", O_RDWR);
}

static int by_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY };

	return seen(syscall(SYS_openat2, AT_FDCWD, "/vault/v.txt", &how, sizeof(how)));
}

static int by_handle(void)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[128];
	} file = { .handle.handle_bytes = 128 };
	int mount, root = open("/proc", O_PATH);

	close(root);
	if (name_to_handle_at(AT_FDCWD, "/vault/v.txt", &file.handle, &mount, 0))
		return BROKEN;
	root = open("/", O_PATH | O_DIRECTORY);
	/* A handle needs a descriptor that isn't O_PATH of the file system: the agent may read this one. */
	close(root);
	root = open("/work/ok.txt", O_RDONLY);
	return root < 0 ? BROKEN : seen(open_by_handle_at(root, &file.handle, O_RDONLY));
}

static int by_detached_mount(void)
{
	int tree = syscall(428 /* open_tree */, AT_FDCWD, "/vault", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);

	return tree < 0 ? errno : seen(openat(tree, "v.txt", O_RDONLY));
}

static int detached_root_spoof(void)
{
	/* Below a detached mount of "/", the path would read like a permitted one. */
	int tree = syscall(428, AT_FDCWD, "/out", 1 | O_CLOEXEC);

	return tree < 0 ? errno : seen(openat(tree, "work/ok.txt", O_RDONLY));
}

static void make_spoof(void)
{
	mkdir("/out/work", 0755);
	put("/out/work/ok.txt", "spoof");
}

static int uring_inline(void)
{
	return uring_openat("/vault/v.txt", 0, 0);
}

static int uring_async(void)
{
	return uring_openat("/vault/v.txt", 1 << 4 /* IOSQE_ASYNC */, 0);
}

static int uring_polled(void)
{
	return uring_openat("/vault/v.txt", 0, 1 << 1 /* IORING_SETUP_SQPOLL */);
}

static int uring_permitted(void)
{
	return uring_openat("/work/ok.txt", 0, 0);
}

static void inherit(void)
{
	held = open("/vault/v.txt", O_RDONLY);
}

static int read_held(void)
{
	char byte;

	return seen(read(held, &byte, 1));
}

static int pair[2];

/* A parent outside hands a descriptor over, through a socket made before. */
static void send_descriptor(int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || sendmsg(pair[0], &message, 0) != 1)
		say("broken: SCM_RIGHTS: %s\n", strerror(errno));
	close(fd);
}

static void send_forbidden(void)
{
	send_descriptor(open("/vault/v.txt", O_RDONLY));
}

static void send_permitted(void)
{
	send_descriptor(open("/work/ok.txt", O_RDONLY));
}

static void send_socket(void)
{
	send_descriptor(socket(AF_INET, SOCK_STREAM, 0));
}

/* EPERM when the message came without its descriptor. */
static int receive(void)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };

	if (recvmsg(pair[1], &message, 0) != 1)
		return errno;
	return CMSG_FIRSTHDR(&message) ? 0 : EPERM;
}

const struct probe file_probes[] = {
	{ "open-permitted", "plain", NULL, NULL, permitted },
	{ "open-read-only", "plain", NULL, NULL, read_only },
	{ "open-by-like", "plain", NULL, NULL, by_like },
	{ "open-by-equality", "plain", NULL, NULL, by_equality },
	{ "open-by-default", "plain", NULL, NULL, by_default },
	{ "open-by-anchor", "plain", NULL, NULL, by_anchor },
	{ "open-hidden-like", "hide", NULL, NULL, by_like },
	{ "open-hidden-equality", "hide", NULL, NULL, by_equality },
	{ "open-hidden-default", "hide", NULL, NULL, by_default },
	{ "stat-hidden", "hide", NULL, NULL, stat_it },
	{ "stat-hidden-parent-of-permitted", "hide", NULL, NULL, stat_parent },
	{ "fstat-hidden", "hide", NULL, hold_path, fstat_it },
	{ "stat-plain", "plain", NULL, NULL, stat_it },
	{ "access-hidden", "hide", NULL, NULL, access_it },
	{ "create-outside", "plain", no_new, NULL, create_outside },
	{ "create-inside", "plain", no_new, NULL, create_inside },
	{ "write-read-only", "plain", no_new, NULL, write_read_only },
	{ "truncate-open-read-only", "plain", no_new, NULL, truncate_read_only },
	{ "open-for-ioctl", "plain", no_new, NULL, for_ioctl },
	{ "open-symlink", "plain", make_link, NULL, by_symlink },
	{ "open-dots", "plain", NULL, NULL, by_dots },
	{ "open-proc-root", "plain", NULL, NULL, by_proc_root },
	{ "open-proc-cwd", "plain", NULL, NULL, by_proc_cwd },
	{ "open-long-name", "plain", NULL, NULL, long_name },
	{ "open-hard-link", "plain", NULL, NULL, by_hard_link },
	{ "open-bind-alias", "hide", NULL, NULL, by_bind_mount },
	{ "open-overlay", "plain", NULL, NULL, by_overlay },
	{ "open-overlay-upper", "plain", upper_file, NULL, overlay_upper },
	{ "open-path-only", "plain", NULL, NULL, bare_path },
	{ "reopen-path", "plain", NULL, NULL, reopen_path },
	{ "reopen-with-more", "plain", NULL, NULL, reopen_more },
	{ "openat2", "plain", NULL, NULL, by_openat2 },
	{ "open-by-handle", "plain", NULL, NULL, by_handle },
	{ "open-detached-mount", "plain", NULL, NULL, by_detached_mount },
	{ "open-detached-spoof", "plain", make_spoof, NULL, detached_root_spoof },
	{ "uring-permitted", "plain", NULL, NULL, uring_permitted },
	{ "uring-inline", "plain", NULL, NULL, uring_inline },
	{ "uring-async", "plain", NULL, NULL, uring_async },
	{ "uring-polled", "plain", NULL, NULL, uring_polled },
	{ "inherited", "plain", NULL, inherit, read_held },
	{ "inherited-revalidated", "strict", NULL, inherit, read_held },
	{ "received-forbidden", "plain", send_forbidden, NULL, receive },
	{ "received-permitted", "plain", send_permitted, NULL, receive },
	{ "received-socket", "plain", send_socket, NULL, receive },
	{ "open-own-cgroup", "plain", NULL, NULL, own_cgroup },
	{ "open-pins", "plain", NULL, NULL, pins },
	{ "audit-open", "audit", NULL, NULL, by_like },
	{ "empty-open", "empty", NULL, NULL, permitted },
	{ 0 },
};
