/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The binary image of one generation of kernel rules: what the Python companion writes and the loader applies.
 *
 * Little-endian, no padding that isn't a named field. Offsets are from the start of the image, multiples of 8, and
 * every table lies whole inside it. Order:
 *
 *     image_header | image_class × class_count | tables, in any order
 *
 * sha256 is over the whole image with the 32 bytes of the field itself as zeros. Reserved fields are zero; the loader
 * refuses anything else, so that a later version can give them a meaning.
 *
 * The image holds verdicts, not policy: precedence of forbids, host names and CIDR overlaps are already worked out.
 */
#ifndef HOPGATE_IMAGE_H
#define HOPGATE_IMAGE_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define IMAGE_MAGIC "HOPGATE1" /* 8 bytes, no NUL */
#define IMAGE_VERSION 1

/* Limits. The loader refuses an image beyond any of them; the companion refuses the document before. */
#define IMAGE_MAX_BYTES (64u << 20)
#define IMAGE_MAX_CLASSES 64u
#define IMAGE_MAX_STATES 8192u        /* of one automaton */
#define IMAGE_MAX_TRANSITIONS 262144u /* states × byte_classes */
#define IMAGE_MAX_BYTE_CLASSES 256u
#define IMAGE_MAX_ANCHORS 4096u       /* of one class */
#define IMAGE_MAX_NETWORK 16384u      /* address entries of one class, per table */
#define IMAGE_MAX_PORTS 16u           /* port entries of one address entry */
#define IMAGE_MAX_PATH 4095u          /* bytes, without NUL */
#define IMAGE_NAME_BYTES 64u          /* NUL-padded, so 63 at most */

/* Bits of an automaton's accept byte and of an anchor's mask: the four file actions. */
#define FILE_READ 1u  /* readFile */
#define FILE_WRITE 2u /* writeFile */
#define FILE_EXEC 4u  /* execFile */
#define FILE_LOAD 8u  /* loadLibrary */
#define FILE_ACTIONS 15u
/*
 * Two more bits of the accept byte only, about the longer paths that begin with this one. Both may be left out: a
 * cleared bit only denies more.
 *
 * LEADS: some path that starts with this one followed by '/' has an action. A class marked hide answers stat of such
 * a directory, since without it no permitted file could be reached by tools that walk up and down.
 * WHOLE: every path that starts with this one followed by '/' has both readFile and writeFile. Only such directories
 * may be renamed, because a rename changes the paths of everything below at once.
 */
#define FILE_LEADS 16u
#define FILE_WHOLE 32u

#define PROTOCOL_TCP 1u
#define PROTOCOL_UDP 2u

#define PORT_FORBID 0u
#define PORT_PERMIT 1u

#define POLICY_NONE 0xffffu /* no policy to name: denied because nothing permits */

/* Flags of a class. */
#define CLASS_AUDIT 1u         /* same verdict, allowed, counted as would_deny */
#define CLASS_HIDE 2u          /* file denials of open, stat and exec are ENOENT */
#define CLASS_SPAWN 4u         /* spawnProcess: may make processes (threads always) */
#define CLASS_REVALIDATE 8u    /* descriptors and connections from before are checked at every use */
#define CLASS_DENY_ANONYMOUS 16u /* no executable memory without a file: for classes without a JIT */
#define CLASS_FLAGS 31u

struct image_header {
	char magic[8];
	uint32_t version;      /* IMAGE_VERSION */
	uint32_t class_count;  /* ≤ IMAGE_MAX_CLASSES; 0 denies every registered class everything */
	uint64_t total_bytes;  /* of the image; equals the file's size */
	uint64_t generation;   /* > 0 */
	uint8_t digest[32];    /* of the Cedar bundle; shown by status, means nothing to the loader */
	uint8_t sha256[32];
	uint64_t reserved;
}; /* 104 bytes */

struct image_class {
	char name[IMAGE_NAME_BYTES]; /* unique, sorted bytewise, [A-Za-z0-9._:/-]+ */
	uint32_t flags;              /* CLASS_* */
	uint32_t states;             /* 0: no automaton, all file actions are denied */
	uint32_t byte_classes;       /* 1..256 when states > 0, else 0 */
	uint32_t anchor_count;
	uint64_t byte_class_offset;  /* uint8_t[256], each < byte_classes */
	uint64_t accept_offset;      /* uint8_t[states], FILE_* */
	uint64_t transition_offset;  /* uint16_t[states × byte_classes], row by row, each < states; state 0 starts */
	uint64_t anchor_offset;      /* image_anchor records, one after another */
	uint64_t anchor_bytes;       /* of all of them together */
	uint64_t network_offset;     /* image_address[network_count]: connectNetwork */
	uint64_t bind_offset;        /* image_address[bind_count]: bindNetwork */
	uint64_t port_offset;        /* image_port[port_count], referred to by the two above */
	uint32_t network_count;
	uint32_t bind_count;
	uint32_t port_count;
	uint32_t reserved;
}; /* 160 bytes */

/*
 * A forbidden literal path. The loader follows symbolic links, takes (device, inode) of what is there when the image
 * is applied, and denies mask on it and, with prefix, on everything below it, whatever name leads there. A path that
 * doesn't exist is counted and left to the automaton.
 */
struct image_anchor {
	uint32_t record_bytes; /* of this record: a multiple of 8, ≥ 12 + path_bytes + 1 */
	uint16_t path_bytes;   /* without NUL; 1..IMAGE_MAX_PATH */
	uint8_t mask;          /* FILE_ACTIONS bits that are forbidden, not 0 */
	uint8_t prefix;        /* 0 or 1 */
	uint16_t policy;       /* index into the class's policies, or POLICY_NONE */
	uint16_t reserved;
	char path[];           /* absolute, NUL-terminated, zeros up to record_bytes */
};

/*
 * Everything that applies to the addresses whose longest matching entry this is: the writer has already merged in what
 * shorter prefixes say. IPv4 is written as ::ffff:a.b.c.d with 96 more bits of prefix. No entry matches: denied.
 */
struct image_address {
	uint8_t address[16];  /* network order; bits beyond prefix_bits are zero */
	uint32_t prefix_bits; /* 0..128; (address, prefix_bits) unique in its table */
	uint32_t first_port;  /* index into the class's ports */
	uint32_t port_count;  /* 0..IMAGE_MAX_PORTS; 0 denies */
	uint32_t reserved;
}; /* 32 bytes */

/* A matching PORT_FORBID denies whatever else matches; else a matching PORT_PERMIT allows; else denied. */
struct image_port {
	uint16_t first;    /* host order, inclusive; bind of port 0 (any free one) is asked as port 0 */
	uint16_t last;     /* ≥ first */
	uint8_t protocols; /* PROTOCOL_* bits, not 0 */
	uint8_t effect;    /* PORT_* */
	uint16_t policy;   /* index into the class's policies, or POLICY_NONE */
}; /* 8 bytes */

#ifndef __bpf__
_Static_assert(sizeof(struct image_header) == 104, "image_header");
_Static_assert(sizeof(struct image_class) == 160, "image_class");
_Static_assert(sizeof(struct image_anchor) == 12, "image_anchor");
_Static_assert(sizeof(struct image_address) == 32, "image_address");
_Static_assert(sizeof(struct image_port) == 8, "image_port");
#endif

#endif
