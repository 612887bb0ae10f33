/* Overhead as ratios: the same work as an agent and outside, in turns, so that both see the same machine. */
#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURNS 12

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void opens(int times)
{
	while (times--)
		close(open("/work/ok.txt", O_RDONLY));
}

static void stats(int times)
{
	char byte;

	while (times--)
		if (access("/work/ok.txt", F_OK) || readlink("/proc/self/exe", &byte, 1) < 0)
			return;
}

static void execs(int times)
{
	while (times--)
		run("/bin/true", NULL);
}

/* The time of one turn, by a child in class, or outside. */
static double turn(const char *class, void (*work)(int), int times)
{
	int pipes[2];
	double took = -1;
	pid_t child;

	if (pipe(pipes))
		return -1;
	child = fork();
	if (!child) {
		double start;

		if (class && !enter(class))
			_exit(1);
		work(times / 10 + 1);
		start = seconds();
		work(times);
		took = seconds() - start;
		_exit(write(pipes[1], &took, sizeof(took)) != sizeof(took));
	}
	close(pipes[1]);
	if (read(pipes[0], &took, sizeof(took)) != sizeof(took))
		took = -1;
	close(pipes[0]);
	waitpid(child, NULL, 0);
	return took;
}

static void compare(const char *name, void (*work)(int), int times)
{
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"%s\",\"times\":%d,\"agent\":%.9f,\"outside\":%.9f}\n", name, times,
		    turn("plain", work, times), turn(NULL, work, times));
}

void measure(void)
{
	int unmeasured = access("/measure", F_OK);

	if (unmeasured)
		return;
	compare("open+close", opens, 1000);
	compare("access+readlink", stats, 1000);
	compare("fork+exec+wait", execs, 10);
	/* Out of scope against a kernel without the programs: the same, with everything unloaded. */
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"open+close loaded\",\"times\":1000,\"outside\":%.9f}\n", turn(NULL, opens, 1000));
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"fork+exec+wait loaded\",\"times\":10,\"outside\":%.9f}\n", turn(NULL, execs, 10));
	loader("unload", NULL, NULL);
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"open+close unloaded\",\"times\":1000,\"outside\":%.9f}\n", turn(NULL, opens, 1000));
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"fork+exec+wait unloaded\",\"times\":10,\"outside\":%.9f}\n", turn(NULL, execs, 10));
}
