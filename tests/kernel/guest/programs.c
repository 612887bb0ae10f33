/* Running programs and mapping code: rows 1, 16, 21 to 24. */
#include "guest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* execve by a child that gives back its errno. */
static int execute_at(int directory, const char *path, int flags)
{
	char *words[] = { "true", NULL };
	int status;
	pid_t child = fork();

	if (child < 0)
		return errno;
	if (!child) {
		syscall(SYS_execveat, directory, path, words, environ, flags);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static int exec_true(void)
{
	return execute_at(AT_FDCWD, "/bin/true", 0);
}

static int exec_forbidden(void)
{
	return execute_at(AT_FDCWD, "/out/true", 0);
}

static int exec_copied(void)
{
	return execute_at(AT_FDCWD, "/work/true", 0);
}

static int exec_by_path_descriptor(void)
{
	return execute_at(open("/out/true", O_PATH), "", AT_EMPTY_PATH);
}

static int exec_memory(void)
{
	int memory = syscall(SYS_memfd_create, "true", 0), file = open("/work/true", O_RDONLY);
	char block[65536];
	ssize_t got;

	while ((got = read(file, block, sizeof(block))) > 0)
		if (write(memory, block, got) != got)
			return BROKEN;
	return got || file < 0 ? BROKEN : execute_at(memory, "", AT_EMPTY_PATH);
}

static int exec_script(void)
{
	return execute_at(AT_FDCWD, "/work/script", 0);
}

static int exec_script_forbidden(void)
{
	return execute_at(AT_FDCWD, "/work/script.txt", 0);
}

static void runnable(void)
{
	put("/work/script.txt", "#!/bin/sh\nexit 0\n");
	chmod("/work/script.txt", 0755);
}

static int shell_reads_script(void)
{
	return run("/bin/sh", "/work/script.txt", NULL);
}

static void write_scripts(void)
{
	put("/work/script", "#!/bin/sh\nexit 0\n");
	chmod("/work/script", 0755);
	put("/work/script.txt", "exit 0\n");
	chmod("/work/script.txt", 0644);
}

static int map_code(const char *path)
{
	int fd = open(path, O_RDONLY);
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (fd < 0)
		return BROKEN;
	return at == MAP_FAILED ? errno : 0;
}

static int map_library(void)
{
	return map_code("/lib/good.so");
}

static int map_other(void)
{
	return map_code("/work/evil.so");
}

/* Permission to run a program isn't permission to load it as a library. */
static int map_program(void)
{
	return map_code("/bin/true");
}

static int protect_other(void)
{
	int fd = open("/work/evil.so", O_RDONLY);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	return at == MAP_FAILED ? BROKEN : seen(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int map_memory_file(void)
{
	int fd = syscall(SYS_memfd_create, "code", 0);
	void *at;

	if (ftruncate(fd, 4096))
		return BROKEN;
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? errno : 0;
}

static int map_anonymous(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int protect_anonymous(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? BROKEN : seen(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

const struct probe program_probes[] = {
	{ "exec-permitted", "plain", NULL, NULL, exec_true },
	{ "exec-forbidden", "plain", NULL, NULL, exec_forbidden },
	{ "exec-hidden", "hide", NULL, NULL, exec_forbidden },
	{ "exec-copied", "plain", NULL, NULL, exec_copied },
	{ "exec-path-descriptor", "plain", NULL, NULL, exec_by_path_descriptor },
	{ "exec-memfd", "plain", NULL, NULL, exec_memory },
	{ "exec-script", "plain", write_scripts, NULL, exec_script },
	{ "exec-script-forbidden", "plain", runnable, NULL, exec_script_forbidden },
	{ "shell-reads-script", "plain", write_scripts, NULL, shell_reads_script },
	{ "audit-exec", "audit", NULL, NULL, exec_forbidden },
	{ "mmap-library", "plain", NULL, NULL, map_library },
	{ "mmap-other", "plain", NULL, NULL, map_other },
	{ "mmap-program", "plain", NULL, NULL, map_program },
	{ "mprotect-other", "plain", NULL, NULL, protect_other },
	{ "mmap-memfd", "plain", NULL, NULL, map_memory_file },
	{ "mmap-anonymous", "plain", NULL, NULL, map_anonymous },
	{ "mmap-anonymous-denied", "strict", NULL, NULL, map_anonymous },
	{ "mprotect-anonymous-denied", "strict", NULL, NULL, protect_anonymous },
	{ 0 },
};
