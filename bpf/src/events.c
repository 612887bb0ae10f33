/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Denials as JSON lines. The kernel wakes nobody for one: a reader that is woken each time makes a denied open eight
 * times as slow. So it looks at intervals.
 */
#include "loader.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_address(const struct event *event)
{
	char text[INET6_ADDRSTRLEN] = "";
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(event->address, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, event->address + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, event->address, text, sizeof(text));
	printf(",\"address\":\"%s\",\"port\":%u,\"protocol\":%s", text, event->port,
	       event->protocol == PROTOCOL_TCP ? "\"tcp\"" : event->protocol == PROTOCOL_UDP ? "\"udp\"" : "null");
}

static void print_wanted(const struct event *event)
{
	static const char *const names[] = { "readFile", "writeFile", "execFile", "loadLibrary" };
	const char *separator = "";

	printf(",\"actions\":[");
	for (int bit = 0; bit < 4; bit++) {
		if (!(event->wanted >> bit & 1))
			continue;
		printf("%s\"%s\"", separator, names[bit]);
		separator = ",";
	}
	printf("]");
}

static int print_event(void *context, void *data, size_t bytes)
{
	int names = *(int *)context;
	const struct event *event = data;
	struct class_name name = { "" };

	if (bytes < sizeof(*event))
		return 0;
	bpf_map_lookup_elem(names, &event->class, &name);
	printf("{\"monotonic\":%lu,\"generation\":%lu,\"class\":", (unsigned long)event->nanoseconds,
	       (unsigned long)event->generation);
	print_string(stdout, name.text, strnlen(name.text, sizeof(name.text)));
	printf(",\"verdict\":\"%s\",\"hook\":\"%s\",\"reason\":\"%s\",\"errno\":%d,\"process\":%u,\"thread\":%u,"
	       "\"user\":%u,\"cgroup\":%lu,\"command\":",
	       event->errno_given ? "denied" : "would_deny", hook_name(event->hook), reason_name(event->reason),
	       -event->errno_given, event->process, event->thread, event->user, (unsigned long)event->cgroup);
	print_string(stdout, event->command, strnlen(event->command, sizeof(event->command)));
	if (event->policy != POLICY_NONE)
		printf(",\"policy\":%u", event->policy);
	if (event->wanted & FILE_ACTIONS)
		print_wanted(event);
	if (event->path_bytes) {
		printf(",\"path\":");
		print_string(stdout, event->path, event->path_bytes);
		if (event->path_cut)
			printf(",\"path_cut\":true");
	}
	if (event->has_address)
		print_address(event);
	printf("}\n");
	return ferror(stdout) ? -EPIPE : 0;
}

int run_events(const struct options *options)
{
	struct timespec pause = { .tv_sec = options->interval / 1000,
				  .tv_nsec = options->interval % 1000 * 1000000l };
	struct ring_buffer *ring;
	int events, names, status;

	if ((status = open_loaded(options, "events", &events)) || (status = open_loaded(options, "names", &names)))
		return status;
	ring = ring_buffer__new(events, print_event, &names, NULL);
	if (!ring)
		return fail(KERNEL, "events", "the ring buffer can't be read: %s", strerror(errno));
	do {
		int taken = ring_buffer__consume(ring);

		if (taken < 0 || fflush(stdout))
			break;
		if (!options->once)
			nanosleep(&pause, NULL);
	} while (!options->once);
	ring_buffer__free(ring);
	/* Whoever read has gone: that is an end, not a failure. */
	return DONE;
}
