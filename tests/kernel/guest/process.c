/* Ways out of a class: rows 13 to 15, 27 to 29. */
#include "guest.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t outsider = -1;
static int held = -1;

static int mount_it(void)
{
	return seen(mount("/vault", "/work/dir", NULL, MS_BIND, NULL));
}

static void unmount(void)
{
	umount2("/work/dir", MNT_DETACH);
}

static void mounted(void)
{
	unmount();
	mount("/vault", "/work/dir", NULL, MS_BIND, NULL);
}

static int umount_it(void)
{
	return seen(umount("/work/dir"));
}

static int namespaces(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return errno;
	return mount_it();
}

static int mount_new_style(void)
{
	int context = syscall(430 /* fsopen */, "tmpfs", 0);

	if (context < 0 || syscall(431 /* fsconfig */, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0))
		return errno;
	return seen(syscall(432 /* fsmount */, context, 0, 0));
}

static int move_tree(void)
{
	int tree = syscall(428 /* open_tree */, AT_FDCWD, "/vault", 1 /* OPEN_TREE_CLONE */);

	return tree < 0 ? errno : seen(syscall(429 /* move_mount */, tree, "", AT_FDCWD, "/work/dir", 4));
}

static int chroot_it(void)
{
	return seen(chroot("/work"));
}

static int pivot(void)
{
	return seen(syscall(SYS_pivot_root, "/work/dir", "/work/dir"));
}

static void own_namespace(void)
{
	/* So that the control run changes a root of its own. */
	unshare(CLONE_NEWNS);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int leave_cgroup(void)
{
	int fd = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY);

	return fd < 0 ? errno : write(fd, "0", 1) == 1 ? 0 : errno;
}

static void hold_root(void)
{
	held = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY);
}

/* Moved out with a descriptor from before: the class sticks. */
static int leave_and_open(void)
{
	if (write(held, "0", 1) != 1)
		return BROKEN;
	held = open("/out/file.txt", O_RDONLY);
	return seen(held);
}

static int leave_and_fork(void)
{
	int status;
	pid_t child;

	if (write(held, "0", 1) != 1)
		return BROKEN;
	child = fork();
	if (!child)
		_exit(seen(open("/out/file.txt", O_RDONLY)));
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int clone_into(void)
{
	struct clone_args arguments = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	int fd = open("/sys/fs/cgroup/other", O_PATH | O_DIRECTORY), status, error;
	pid_t child;

	arguments.cgroup = fd;
	child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	error = errno;
	if (!child)
		_exit(0);
	if (child > 0)
		waitpid(child, &status, 0);
	return child < 0 ? error : 0;
}

static void start_outsider(void)
{
	if (outsider > 0) {
		kill(outsider, SIGKILL);
		waitpid(outsider, NULL, 0);
	}
	outsider = fork();
	if (!outsider)
		for (;;)
			pause();
}

static int attach(void)
{
	return seen(ptrace(PTRACE_SEIZE, outsider, NULL, NULL));
}

static int read_memory(void)
{
	char here[8];
	struct iovec local = { here, sizeof(here) }, remote = { (void *)read_memory, sizeof(here) };

	return seen(process_vm_readv(outsider, &local, 1, &remote, 1, 0));
}

static int trace_me(void)
{
	return seen(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int attach_child(void)
{
	pid_t child = fork();
	int answer;

	if (child < 0)
		return errno;
	if (!child)
		for (;;)
			pause();
	answer = seen(ptrace(PTRACE_SEIZE, child, NULL, NULL));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return answer;
}

static int read_own_status(void)
{
	return seen(open("/proc/self/maps", O_RDONLY));
}

static int call_bpf(void)
{
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return seen(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

static int open_perf(void)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes),
					      .config = PERF_COUNT_SW_CPU_CLOCK };

	return seen(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int load_module(void)
{
	/* Loaded already: EEXIST is how far it gets when it may. */
	int fd = open("/modules/overlay.ko", O_RDONLY);

	return fd < 0 ? BROKEN : seen(syscall(SYS_finit_module, fd, "", 0));
}

static int forks(void)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return errno;
	if (!child)
		_exit(0);
	waitpid(child, &status, 0);
	return 0;
}

static void *nothing(void *argument)
{
	return argument;
}

#include <pthread.h>

static int threads(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);

	return error ? error : pthread_join(thread, NULL);
}

const struct probe process_probes[] = {
	{ "mount", "plain", unmount, NULL, mount_it },
	{ "umount", "plain", mounted, NULL, umount_it },
	{ "mount-in-namespaces", "plain", unmount, NULL, namespaces },
	{ "mount-new-style", "plain", unmount, NULL, mount_new_style },
	{ "move-mount", "plain", unmount, NULL, move_tree },
	{ "chroot", "plain", unmount, NULL, chroot_it },
	{ "pivot-root", "plain", mounted, own_namespace, pivot },
	{ "leave-cgroup", "plain", unmount, NULL, leave_cgroup },
	{ "leave-by-descriptor", "plain", NULL, hold_root, leave_and_open },
	{ "leave-and-fork", "plain", NULL, hold_root, leave_and_fork },
	{ "clone-into-cgroup", "plain", NULL, NULL, clone_into },
	{ "ptrace-outsider", "plain", start_outsider, NULL, attach },
	{ "ptrace-child", "plain", NULL, NULL, attach_child },
	{ "ptrace-traceme", "plain", NULL, NULL, trace_me },
	{ "process-vm-readv", "plain", start_outsider, NULL, read_memory },
	{ "read-own-maps", "plain", NULL, NULL, read_own_status },
	{ "bpf", "plain", NULL, NULL, call_bpf },
	{ "perf", "plain", NULL, NULL, open_perf },
	{ "module", "plain", NULL, NULL, load_module },
	{ "spawn-permitted", "plain", NULL, NULL, forks },
	{ "spawn-forbidden", "alone", NULL, NULL, forks },
	{ "thread-permitted", "alone", NULL, NULL, threads },
	{ "audit-bpf", "audit", NULL, NULL, call_bpf },
	{ 0 },
};
