/*
 * What isn't one action: a loader that is killed, images that are refused, generations swapped while agents open files,
 * maps that are full. Each tells what it saw as one line; what is right is judged outside.
 */
#include "guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWAPS 8

static int as(const char *class, int (*act)(void))
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(enter(class) ? act() : BROKEN);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static int open_denied(void)
{
	return seen(open("/out/file.txt", O_RDONLY));
}

static int open_permitted(void)
{
	return seen(open("/work/ok.txt", O_RDONLY));
}

/* A loader that streams events is killed: what is pinned stays. */
static void loader_killed(void)
{
	pid_t child = fork();

	if (!child) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		execl("/hopgate-bpf-loader", "hopgate-bpf-loader", "events", NULL);
		_exit(1);
	}
	usleep(200000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	say("{\"scenario\":\"loader-killed\",\"denied\":%d,\"permitted\":%d}\n", as("plain", open_denied),
	    as("plain", open_permitted));
}

static void refused_images(void)
{
	static const char *const names[] = { "old",       "damaged",  "short",      "no-magic", "version", "states",
					     "accept",    "transition", "byte-class", "anchor",   "anchors", "prefix",
					     "port",      "ports",    "network",    "flags",    "name",    "order",
					     "generation", "empty" };
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int status;

		snprintf(path, sizeof(path), "/images/bad-%s", names[i]);
		say("\n");
		dup2(1, 2);
		status = loader("apply", path, NULL);
		say("\n{\"scenario\":\"refused\",\"image\":\"%s\",\"status\":%d,\"denied\":%d,\"permitted\":%d}\n",
		    names[i], status, as("plain", open_denied), as("plain", open_permitted));
	}
}

/* Two generations permit one of two files each: at no moment both, at no moment neither. */
static void swap_under_load(void)
{
	struct tally {
		unsigned long rounds, both, neither;
		int stop;
	} *tally = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[64];
	pid_t child;

	put("/work/a", "a");
	put("/work/b", "b");
	child = fork();
	if (!child) {
		if (!enter("swap"))
			_exit(BROKEN);
		while (!tally->stop) {
			/* a, b and a again: what a swap between the three explains isn't torn. */
			int first = open("/work/a", O_RDONLY), second = open("/work/b", O_RDONLY);
			int third = open("/work/a", O_RDONLY);

			if ((first < 0) == (third < 0)) {
				tally->both += first >= 0 && second >= 0;
				tally->neither += first < 0 && second < 0;
			}
			tally->rounds++;
			close(first);
			close(second);
			close(third);
		}
		_exit(0);
	}
	for (int i = 0; i < SWAPS; i++) {
		snprintf(path, sizeof(path), "/images/swap-%d", i);
		if (loader("apply", path, NULL))
			say("broken: %s\n", path);
	}
	tally->stop = 1;
	waitpid(child, NULL, 0);
	say("{\"scenario\":\"swap\",\"rounds\":%lu,\"both\":%lu,\"neither\":%lu}\n", tally->rounds, tally->both,
	    tally->neither);
}

/* Killed in the middle of apply, again and again: the generation before stays whole, the next one can come. */
static void apply_killed(void)
{
	int wrong = 0, killed = 0;

	for (int i = 0; i < 4; i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			execl("/hopgate-bpf-loader", "hopgate-bpf-loader", "apply", "/images/large", NULL);
			_exit(1);
		}
		usleep(10000 + i * 30000);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		killed += WIFSIGNALED(status);
		wrong += as("plain", open_denied) != EPERM || as("plain", open_permitted);
	}
	say("{\"scenario\":\"apply-killed\",\"killed\":%d,\"wrong\":%d}\n", killed, wrong);
}

static void full_maps(void)
{
	char class[64];
	int last = 0, joined = 0;

	mkdir("/sys/fs/cgroup/full", 0755);
	/* Names first: 64 fit, those of the rules included. */
	for (int i = 0; i < 80 && !last; i++) {
		snprintf(class, sizeof(class), "name-%d", i);
		last = loader("join", class, "/sys/fs/cgroup/full");
		joined += !last;
	}
	say("\n{\"scenario\":\"names-full\",\"joined\":%d,\"status\":%d,\"denied\":%d,\"permitted\":%d}\n", joined, last,
	    as("plain", open_denied), as("plain", open_permitted));
}

/* 10,000 network rules and thousands of anchors, in force and judged by. */
static void large(void)
{
	int status = loader("apply", "/images/large", NULL);

	say("{\"scenario\":\"large\",\"status\":%d,\"denied\":%d,\"permitted\":%d}\n", status, as("plain", open_denied),
	    as("plain", open_permitted));
}

void scenarios(void)
{
	phase("refusals");
	loader_killed();
	refused_images();
	phase("swap");
	swap_under_load();
	phase("large");
	apply_killed();
	large();
	phase("full");
	full_maps();
}
