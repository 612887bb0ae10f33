/* Overhead as ratios: the same work as an agent and outside, in turns, so that both see the same machine. */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

static int port = 7001; /* on the loopback address; permitted, and somebody listens */

static void udp_connects(int times)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	while (times--)
		if (connect(fd, (void *)&to, sizeof(to)))
			_exit(3);
	close(fd);
}

static void tcp_connects(int times)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001) };
	struct linger at_once = { .l_onoff = 1 };

	while (times--) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		/* Reset in place of a farewell: no port is kept waiting. */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		if (connect(fd, (void *)&to, sizeof(to)))
			_exit(3);
		close(fd);
	}
}

/* For the host, where networks are measured without emulation: seconds of so many connects. */
int time_connects(const char *kind, int to, int times)
{
	void (*work)(int) = strcmp(kind, "udp") ? tcp_connects : udp_connects;
	double start;

	port = to;
	work(times / 10 + 1);
	start = seconds();
	work(times);
	return printf("%.9f\n", seconds() - start) < 0;
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

static void outside(const char *name, const char *state, void (*work)(int), int times)
{
	for (int i = 0; i < TURNS; i++)
		say("{\"measure\":\"%s %s\",\"outside\":%.9f}\n", name, state, turn(NULL, work, times));
}

void measure(void)
{
	static const struct {
		const char *name;
		void (*work)(int);
		int times;
	} works[] = { { "open+close", opens, 1000 },
		      { "fork+exec+wait", execs, 10 },
		      { "UDP connect", udp_connects, 1000 },
		      { "TCP connect", tcp_connects, 100 } };

	if (access("/measure", F_OK))
		return;
	loader("apply", "/images/measured", NULL);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		compare(works[i].name, works[i].work, works[i].times);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		outside(works[i].name, "loaded", works[i].work, works[i].times);
	/* Out of scope against a kernel without the programs. */
	loader("unload", NULL, NULL);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		outside(works[i].name, "unloaded", works[i].work, works[i].times);
}
