/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * hopgate-bpf-loader: the only privileged part that touches BPF. Knows images, pins and cgroups; no policy, no names
 * of hosts, no network.
 */
#include "loader.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE_TEXT[] =
	"usage: hopgate-bpf-loader [--pins DIR] [--cgroup-root DIR] COMMAND\n"
	"  load [--without-lsm] load, attach and pin; nothing to do if that is done\n"
	"  apply IMAGE          put a newer generation of rules in force, whole or not at all\n"
	"  join CLASS CGROUP    what runs in this cgroup, and below it, belongs to the class\n"
	"  leave CGROUP         forget it; what has a class already keeps it\n"
	"  status               one JSON object\n"
	"  events [--once] [--interval MS]\n"
	"                       denials as JSON lines, from now on\n"
	"  unload               detach and forget everything\n";

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static int verbose(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
}

static int usage(void)
{
	fputs(USAGE_TEXT, stderr);
	return USAGE;
}

static bool read_number(const char *text, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || value < 1 || value > 60000)
		return false;
	*number = value;
	return true;
}

static int dispatch(const struct options *options, int count, char **words)
{
	const char *command = count ? words[0] : "";

	if (!strcmp(command, "load") && count == 1)
		return run_load(options);
	if (!strcmp(command, "apply") && count == 2)
		return run_apply(options, words[1]);
	if (!strcmp(command, "join") && count == 3)
		return run_join(options, words[1], words[2]);
	if (!strcmp(command, "leave") && count == 2)
		return run_leave(options, words[1]);
	if (!strcmp(command, "status") && count == 1)
		return run_status(options);
	if (!strcmp(command, "events") && count == 1)
		return run_events(options);
	if (!strcmp(command, "unload") && count == 1)
		return run_unload(options);
	return usage();
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "pins", required_argument, NULL, 'p' },     { "cgroup-root", required_argument, NULL, 'c' },
		{ "once", no_argument, NULL, 'o' },           { "interval", required_argument, NULL, 'i' },
		{ "verbose", no_argument, NULL, 'v' },        { "without-lsm", no_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .pins = "/sys/fs/bpf/hopgate", .interval = 50 };
	int letter;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(quiet);
	while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (letter == 'p')
			options.pins = optarg;
		else if (letter == 'c')
			options.cgroup_root = optarg;
		else if (letter == 'o')
			options.once = true;
		else if (letter == 'w')
			options.without_lsm = true;
		else if (letter == 'v')
			libbpf_set_print(verbose);
		else if (letter != 'i' || !read_number(optarg, &options.interval))
			return usage();
	}
	return dispatch(&options, argc - optind, argv + optind);
}
