/* The guest's only process tree: boots, loads the programs, runs every case as an agent and once without, tells. */
#include "guest.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"

#define HOOKS_OF(class) ((class) * HOOK_COUNT)
#define CASE_SECONDS 30

static const char *const hooks[HOOK_COUNT] = {
#define X(id, name) [HOOK_##id] = name,
	HOOKS(X)
#undef X
};
static int counters, names;

int seen(long result)
{
	return result < 0 ? errno : 0;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	fflush(stdout);
}

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say("broken: put %s: %s\n", path, strerror(errno));
	close(fd);
}

void copy(const char *from, const char *to, unsigned mode)
{
	char block[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode);
	ssize_t got;

	while ((got = read(in, block, sizeof(block))) > 0)
		if (write(out, block, got) != got)
			break;
	if (in < 0 || out < 0 || got)
		say("broken: copy %s to %s: %s\n", from, to, strerror(errno));
	close(in);
	close(out);
}

int run(const char *program, ...)
{
	char *words[8] = { (char *)program };
	int pipes[2], status, error = 0;
	va_list arguments;
	pid_t child;

	va_start(arguments, program);
	for (int i = 1; i < 7 && (words[i] = va_arg(arguments, char *)); i++)
		;
	va_end(arguments);
	if (pipe2(pipes, O_CLOEXEC))
		return BROKEN;
	child = fork();
	if (child < 0)
		return errno;
	if (!child) {
		execv(program, words);
		error = errno;
		_exit(write(pipes[1], &error, sizeof(error)) == sizeof(error) ? 1 : 2);
	}
	close(pipes[1]);
	if (read(pipes[0], &error, sizeof(error)) < 0)
		error = BROKEN;
	close(pipes[0]);
	waitpid(child, &status, 0);
	return error ? error : WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

bool enter(const char *class)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cgroup.procs", class);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return false;
	close(fd);
	return true;
}

int loader(const char *command, const char *first, const char *second)
{
	return run("/hopgate-bpf-loader", command, first, second, NULL);
}

static void read_counts(const char *class, struct counts *counts)
{
	int processors = libbpf_num_possible_cpus();
	struct class_name name;
	uint32_t id = 1;

	memset(counts, 0, HOOK_COUNT * sizeof(*counts));
	while (id < CLASS_IDS && (bpf_map_lookup_elem(names, &id, &name) || strcmp(name.text, class)))
		id++;
	for (unsigned hook = 0; id < CLASS_IDS && hook < HOOK_COUNT; hook++) {
		struct counts each[processors];
		uint32_t key = HOOKS_OF(id) + hook;

		if (bpf_map_lookup_elem(counters, &key, each))
			continue;
		for (int i = 0; i < processors; i++) {
			counts[hook].denied += each[i].denied;
			counts[hook].would_deny += each[i].would_deny;
		}
	}
}

/* What the action saw; a child that hangs or dies is broken. */
static int act(const struct probe *probe, bool as_agent)
{
	pid_t child;
	int status;

	if (probe->prepare)
		probe->prepare();
	child = fork();
	if (!child) {
		alarm(CASE_SECONDS);
		if (probe->before)
			probe->before();
		if (as_agent && !enter(probe->class))
			_exit(BROKEN);
		_exit(probe->act());
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return BROKEN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static void print_delta(const struct counts *before, const struct counts *after, bool denied)
{
	const char *separator = "";

	for (unsigned hook = 0; hook < HOOK_COUNT; hook++) {
		uint64_t more = denied ? after[hook].denied - before[hook].denied :
					 after[hook].would_deny - before[hook].would_deny;
		if (!more)
			continue;
		say("%s\"%s\":%lu", separator, hooks[hook], (unsigned long)more);
		separator = ",";
	}
}

static void run_probes(const struct probe *probes)
{
	struct counts before[HOOK_COUNT], after[HOOK_COUNT];

	for (const struct probe *probe = probes; probe->name; probe++) {
		int control = act(probe, false), judged;

		read_counts(probe->class, before);
		judged = act(probe, true);
		read_counts(probe->class, after);
		say("{\"case\":\"%s\",\"class\":\"%s\",\"control\":%d,\"errno\":%d,\"denied\":{", probe->name,
		    probe->class, control, judged);
		print_delta(before, after, true);
		say("},\"would_deny\":{");
		print_delta(before, after, false);
		say("}}\n");
	}
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		say("broken: module %s: %s\n", path, strerror(errno));
	close(fd);
}

static void lay_out(void)
{
	static const char *const directories[] = { "/work", "/work/private", "/work/dir", "/work/alias", "/work/merged",
						   "/work/sub", "/ro", "/vault", "/vault/deep", "/lib", "/out",
						   "/layers", "/tmp" };

	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		mkdir(directories[i], 0755);
	put("/work/ok.txt", "ok");
	put("/work/secret.txt", "secret");
	put("/work/private/x", "private");
	put("/ro/data.txt", "data");
	put("/out/file.txt", "out");
	put("/vault/v.txt", "vault");
	put("/vault/deep/d.txt", "deep");
	put("/lib/good.so", "a library of no use\n");
	put("/work/evil.so", "another\n");
	copy("/init", "/bin/true", 0755);
	copy("/init", "/out/true", 0755);
	copy("/init", "/work/true", 0755);
	link("/vault/v.txt", "/work/hard");
	mount("/vault/deep", "/work/alias", NULL, MS_BIND, NULL);
	mount("layers", "/layers", "tmpfs", 0, NULL);
	mkdir("/layers/upper", 0755);
	mkdir("/layers/work", 0755);
	load_module("/modules/overlay.ko");
	if (mount("overlay", "/work/merged", "overlay", 0, "lowerdir=/vault,upperdir=/layers/upper,workdir=/layers/work"))
		say("broken: overlay: %s\n", strerror(errno));
}

static void boot(void)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
	setvbuf(stdout, NULL, _IOFBF, 65536);
	say("guest: init\n");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &loopback))
		say("broken: lo: %s\n", strerror(errno));
	close(fd);
	signal(SIGPIPE, SIG_IGN);
}

static void join_all(void)
{
	static const char *const classes[] = { "plain", "hide", "audit", "strict", "alone", "empty", "other", "swap" };
	char path[128];

	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", classes[i]);
		mkdir(path, 0755);
		if (loader("join", classes[i], path))
			say("broken: join %s\n", classes[i]);
	}
}

static void finish(void)
{
	phase("end");
	say("guest: done\n");
	sync();
	reboot(RB_POWER_OFF);
}

void phase(const char *name)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	say("{\"phase\":\"%s\",\"seconds\":%ld.%02ld}\n", name, (long)now.tv_sec, now.tv_nsec / 10000000);
}

int main(int argc, char **argv)
{
	if (getpid() != 1 && argc == 4)
		return time_connects(argv[1], atoi(argv[2]), atoi(argv[3]));
	if (getpid() != 1)
		return strstr(argv[0], "true") ? 0 : 1;
	boot();
	lay_out();
	start_servers();
	phase("load");
	say("{\"loaded\":%d}\n", loader("load", NULL, NULL));
	say("{\"applied\":%d}\n", loader("apply", "/images/first", NULL));
	join_all();
	say("status ");
	loader("status", NULL, NULL);
	counters = bpf_obj_get("/sys/fs/bpf/hopgate/maps/counters");
	names = bpf_obj_get("/sys/fs/bpf/hopgate/maps/names");
	if (counters < 0 || names < 0)
		finish();
	phase("cases");
	run_probes(file_probes);
	run_probes(name_probes);
	run_probes(program_probes);
	run_probes(process_probes);
	run_probes(network_probes);
	phase("events");
	run("/hopgate-bpf-loader", "--once", "events", NULL);
	scenarios();
	say("status ");
	loader("status", NULL, NULL);
	phase("measure");
	measure();
	finish();
}
