/* What the files of the guest share: the table of cases, and how an action tells what it saw. */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe {
	const char *name;
	const char *class;     /* also the cgroup's name */
	void (*prepare)(void); /* by init, before each run: nothing of the run before is left */
	void (*before)(void);  /* by the agent, before it joins its class */
	int (*act)(void);      /* as the agent: 0 or the errno it saw; 255: the case itself is broken */
};

#define BROKEN 255

extern const struct probe file_probes[], name_probes[], program_probes[], process_probes[], network_probes[];

int seen(long result); /* errno if result is negative, else 0 */
void put(const char *path, const char *text);
void copy(const char *from, const char *to, unsigned mode);
int run(const char *program, ...); /* fork and execv; the errno of execv, or BROKEN */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void phase(const char *name); /* what begins now, and when */
int loader(const char *command, const char *first, const char *second);
bool enter(const char *class); /* the calling process, into its cgroup */
void start_servers(void);
void scenarios(void);
void measure(void);
int time_connects(const char *kind, int port, int times);
int uring_openat(const char *path, unsigned flags, unsigned setup);
int uring_connect(int fd, const void *address, unsigned bytes);

#endif
