/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the programs in the kernel and the loader both know: hooks, map values, events. Native byte order. */
#ifndef HOPGATE_SHARED_H
#define HOPGATE_SHARED_H

#include "image.h"

#define CLASS_IDS (IMAGE_MAX_CLASSES + 1) /* identifier 0: not an agent */
#define SLOTS 2
#define CGROUP_LEVELS 16 /* how deep below the root a cgroup may be registered */

/* Index into class_rules and the arrays of maps. */
#define RULES_INDEX(slot, class) ((slot) * CLASS_IDS + (class))

/* Every place that judges, with the name that status and events use. Order is part of no interface. */
#define HOOKS(X)                                                                                                       \
	X(FILE_OPEN, "file_open")                                                                                      \
	X(FILE_RECEIVE, "file_receive")                                                                                \
	X(FILE_PERMISSION, "file_permission")                                                                          \
	X(INODE_GETATTR, "inode_getattr")                                                                              \
	X(PATH_MKNOD, "path_mknod")                                                                                    \
	X(PATH_MKDIR, "path_mkdir")                                                                                    \
	X(PATH_RMDIR, "path_rmdir")                                                                                    \
	X(PATH_UNLINK, "path_unlink")                                                                                  \
	X(PATH_SYMLINK, "path_symlink")                                                                                \
	X(PATH_LINK, "path_link")                                                                                      \
	X(PATH_RENAME, "path_rename")                                                                                  \
	X(PATH_TRUNCATE, "path_truncate")                                                                              \
	X(PATH_CHMOD, "path_chmod")                                                                                    \
	X(PATH_CHOWN, "path_chown")                                                                                    \
	X(PATH_CHROOT, "path_chroot")                                                                                  \
	X(INODE_SETATTR, "inode_setattr")                                                                              \
	X(INODE_SETXATTR, "inode_setxattr")                                                                            \
	X(INODE_REMOVEXATTR, "inode_removexattr")                                                                      \
	X(BPRM_CHECK, "bprm_check_security")                                                                           \
	X(MMAP_FILE, "mmap_file")                                                                                      \
	X(FILE_MPROTECT, "file_mprotect")                                                                              \
	X(TASK_ALLOC, "task_alloc")                                                                                    \
	X(PTRACE_ACCESS, "ptrace_access_check")                                                                        \
	X(PTRACE_TRACEME, "ptrace_traceme")                                                                            \
	X(BPF_CALL, "bpf")                                                                                             \
	X(PERF_EVENT, "perf_event_open")                                                                               \
	X(KERNEL_MODULE, "kernel_read_file")                                                                           \
	X(KERNEL_LOAD, "kernel_load_data")                                                                             \
	X(SB_MOUNT, "sb_mount")                                                                                        \
	X(SB_UMOUNT, "sb_umount")                                                                                      \
	X(SB_PIVOTROOT, "sb_pivotroot")                                                                                \
	X(SB_KERN_MOUNT, "sb_kern_mount")                                                                              \
	X(MOVE_MOUNT, "move_mount")                                                                                    \
	X(SOCKET_CREATE, "socket_create")                                                                              \
	X(SOCKET_CONNECT, "socket_connect")                                                                            \
	X(SOCKET_SENDMSG, "socket_sendmsg")                                                                            \
	X(SOCKET_BIND, "socket_bind")                                                                                  \
	X(SOCKET_LISTEN, "socket_listen")                                                                              \
	X(UNIX_CONNECT, "unix_stream_connect")                                                                         \
	X(UNIX_SEND, "unix_may_send")                                                                                  \
	X(CONNECT4, "connect4")                                                                                        \
	X(CONNECT6, "connect6")                                                                                        \
	X(SENDMSG4, "sendmsg4")                                                                                        \
	X(SENDMSG6, "sendmsg6")                                                                                        \
	X(BIND4, "bind4")                                                                                              \
	X(BIND6, "bind6")                                                                                              \
	X(SOCK_CREATE, "sock_create")

enum hook {
#define X(id, name) HOOK_##id,
	HOOKS(X)
#undef X
	HOOK_COUNT
};

/* Why a verdict is a denial. */
#define REASONS(X)                                                                                                     \
	X(NONE, "none")                                                                                                \
	X(NOT_PERMITTED, "not_permitted") /* no permit reaches it */                                                   \
	X(FORBIDDEN, "forbidden")         /* by an anchor or a port entry; policy says which */                        \
	X(NO_RULES, "no_rules")           /* the class has none in the generation in force, or a map is missing */     \
	X(UNREACHABLE, "unreachable")     /* not below the process's root: detached mounts, handles, memfd */          \
	X(TOO_DEEP, "too_deep")           /* a path beyond what is followed: components or bytes */                    \
	X(UNSTABLE, "unstable")           /* names moved while they were read, each time */                            \
	X(PROTECTED, "protected")         /* never for an agent: mounts, ptrace, bpf, raw devices, cgroup moves */     \
	X(EXHAUSTED, "exhausted")         /* the kernel had no memory for what a verdict needs */

enum reason {
#define X(id, name) REASON_##id,
	REASONS(X)
#undef X
	REASON_COUNT
};

#define NOTE_BYTES 256

/* control[CONTROL_ACTIVE] is (generation << 1) | slot: one word, so that a flip is seen whole. */
enum control { CONTROL_ACTIVE, CONTROL_JOINS, CONTROL_HEARD, CONTROL_COUNT };

struct class_name {
	char text[IMAGE_NAME_BYTES];
};

/* Of an image, by slot; for status alone. */
struct bundle {
	uint8_t digest[32];
	uint32_t missing;   /* anchors whose path doesn't exist */
	uint32_t untracked; /* anchors on file systems whose device user space isn't told */
	uint32_t unwalked;  /* forbidden directories whose files' other names weren't all found */
	uint32_t reserved;
};

struct class_rules {
	uint32_t present; /* 0: denied everything */
	uint32_t flags;   /* CLASS_* */
	uint32_t anchors; /* 0: none to look for */
	uint32_t reserved;
};

struct automaton {
	uint32_t states; /* 0: denies */
	uint32_t byte_classes;
	uint8_t byte_class[256];
	uint8_t accept[IMAGE_MAX_STATES];
	uint16_t next[IMAGE_MAX_TRANSITIONS];
};

struct anchor_key {
	uint64_t inode;
	uint32_t device; /* as the kernel keeps it: major << 20 | minor */
	uint32_t reserved;
};

struct anchor {
	uint8_t self;   /* mask forbidden on the inode itself */
	uint8_t below;  /* mask forbidden on all that lies below it */
	uint16_t policy;
};

struct address_key {
	uint32_t prefix_bits;
	uint8_t address[16];
};

struct address_ports {
	uint32_t count;
	uint32_t reserved;
	struct image_port ports[IMAGE_MAX_PORTS];
};

/* A task's tag. class 0: looked up in cgroup home at that time, not an agent. */
struct tag {
	uint64_t home; /* cgroup that gave the class */
	uint32_t class;
	uint32_t joins; /* CONTROL_JOINS when it was looked up */
};

struct counts {
	uint64_t denied;
	uint64_t would_deny;
};

#define EVENT_PATH 512

struct event {
	uint64_t nanoseconds; /* CLOCK_MONOTONIC */
	uint64_t generation;
	uint64_t cgroup;
	uint32_t class;
	uint32_t process;
	uint32_t thread;
	uint32_t user;
	int32_t errno_given; /* what the caller saw, negative; 0 in audit mode */
	uint16_t policy;
	uint16_t port; /* host order */
	uint8_t hook;
	uint8_t reason;
	uint8_t wanted;   /* FILE_* that were asked for */
	uint8_t protocol; /* PROTOCOL_* */
	uint8_t address[16];
	char command[16];
	uint16_t path_bytes;  /* of path below */
	uint16_t path_cut;    /* 1: the path's beginning didn't fit, its end is here */
	uint32_t has_address; /* 1: address, port and protocol mean something */
	char path[EVENT_PATH];
};

#endif
