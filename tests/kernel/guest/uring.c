/* One request by io_uring, with nothing but the system calls. */
#include "guest.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 0, or the errno of the request. */
static int submit(const struct io_uring_sqe *request, unsigned setup)
{
	struct io_uring_params parameters = { .flags = setup, .sq_thread_idle = 100 };
	int fd = syscall(SYS_io_uring_setup, 4, &parameters), answer;
	unsigned *submitted_tail, *indices, enter = IORING_ENTER_GETEVENTS;
	struct io_uring_sqe *requests;
	struct io_uring_cqe *answers;
	char *submitted, *completed;

	if (fd < 0)
		return BROKEN;
	submitted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	completed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
	requests = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	if (submitted == MAP_FAILED || completed == MAP_FAILED || requests == MAP_FAILED)
		return BROKEN;
	requests[0] = *request;
	indices = (void *)(submitted + parameters.sq_off.array);
	submitted_tail = (void *)(submitted + parameters.sq_off.tail);
	indices[0] = 0;
	__atomic_store_n(submitted_tail, 1, __ATOMIC_RELEASE);
	if (setup & IORING_SETUP_SQPOLL)
		enter |= IORING_ENTER_SQ_WAKEUP;
	if (syscall(SYS_io_uring_enter, fd, 1, 1, enter, NULL, 0) < 0)
		return BROKEN;
	answers = (void *)(completed + parameters.cq_off.cqes);
	answer = answers[0].res;
	close(fd);
	return answer < 0 ? -answer : 0;
}

int uring_openat(const char *path, unsigned flags, unsigned setup)
{
	struct io_uring_sqe request = { .opcode = IORING_OP_OPENAT, .flags = flags, .fd = AT_FDCWD,
					.addr = (uintptr_t)path, .open_flags = O_RDONLY };

	return submit(&request, setup);
}

int uring_connect(int fd, const void *address, unsigned bytes)
{
	struct io_uring_sqe request = { .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)address,
					.off = bytes };

	return submit(&request, 0);
}
