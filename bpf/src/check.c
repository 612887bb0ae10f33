/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Whether an image is whole: everything is checked before anything is touched, so that nothing is half applied. */
#include "loader.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRONG(...) fail(REFUSED, "image_damaged", __VA_ARGS__)
#define TOO_BIG(...) fail(REFUSED, "image_limit", __VA_ARGS__)

static bool lies_inside(const struct image *image, uint64_t offset, uint64_t bytes)
{
	return offset % 8 == 0 && offset <= image->size && bytes <= image->size - offset;
}

static int check_automaton(const struct image *image, const struct image_class *class)
{
	uint64_t transitions = (uint64_t)class->states * class->byte_classes;
	const uint8_t *byte_class, *accept;
	const uint16_t *next;

	if (!class->states)
		return class->byte_classes ? WRONG("class %s: byte classes without states", class->name) : DONE;
	if (class->states > IMAGE_MAX_STATES || class->byte_classes > IMAGE_MAX_BYTE_CLASSES ||
	    transitions > IMAGE_MAX_TRANSITIONS)
		return TOO_BIG("class %s: an automaton of %u states by %u byte classes; at most %u states and %u"
			       " transitions", class->name, class->states, class->byte_classes, IMAGE_MAX_STATES,
			       IMAGE_MAX_TRANSITIONS);
	if (!class->byte_classes || !lies_inside(image, class->byte_class_offset, 256) ||
	    !lies_inside(image, class->accept_offset, class->states) ||
	    !lies_inside(image, class->transition_offset, transitions * 2))
		return WRONG("class %s: its automaton lies outside the image", class->name);
	byte_class = image->bytes + class->byte_class_offset;
	accept = image->bytes + class->accept_offset;
	next = (const void *)(image->bytes + class->transition_offset);
	for (int i = 0; i < 256; i++)
		if (byte_class[i] >= class->byte_classes)
			return WRONG("class %s: byte %d has class %u of %u", class->name, i, byte_class[i],
				     class->byte_classes);
	for (uint32_t i = 0; i < class->states; i++)
		if (accept[i] & ~(FILE_ACTIONS | FILE_LEADS | FILE_WHOLE))
			return WRONG("class %s: state %u accepts unknown bits %#x", class->name, i, accept[i]);
	for (uint64_t i = 0; i < transitions; i++)
		if (next[i] >= class->states)
			return WRONG("class %s: transition %lu leads to state %u of %u", class->name, (unsigned long)i,
				     next[i], class->states);
	return DONE;
}

static int check_anchors(const struct image *image, const struct image_class *class)
{
	uint64_t at = class->anchor_offset, end = at + class->anchor_bytes;

	if (class->anchor_count > IMAGE_MAX_ANCHORS)
		return TOO_BIG("class %s: %u anchors; at most %u", class->name, class->anchor_count, IMAGE_MAX_ANCHORS);
	if (!lies_inside(image, class->anchor_offset, class->anchor_bytes))
		return WRONG("class %s: its anchors lie outside the image", class->name);
	for (uint32_t i = 0; i < class->anchor_count; i++) {
		const struct image_anchor *anchor = (const void *)(image->bytes + at);

		if (end - at < sizeof(*anchor) || anchor->record_bytes > end - at || anchor->record_bytes % 8 ||
		    !anchor->path_bytes || anchor->path_bytes > IMAGE_MAX_PATH ||
		    anchor->record_bytes < sizeof(*anchor) + anchor->path_bytes + 1u)
			return WRONG("class %s: anchor %u has no room for its path", class->name, i);
		if (anchor->path[0] != '/' || anchor->path[anchor->path_bytes] ||
		    memchr(anchor->path, 0, anchor->path_bytes))
			return WRONG("class %s: anchor %u isn't an absolute path", class->name, i);
		if (!anchor->mask || anchor->mask & ~FILE_ACTIONS || anchor->prefix > 1 || anchor->reserved)
			return WRONG("class %s: anchor %u has unknown bits", class->name, i);
		at += anchor->record_bytes;
	}
	return at == end ? DONE : WRONG("class %s: bytes behind its last anchor", class->name);
}

static bool is_prefix(const struct image_address *entry)
{
	for (uint32_t bit = entry->prefix_bits; bit < 128; bit++)
		if (entry->address[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static int check_addresses(const struct image *image, const struct image_class *class, const char *table,
			   uint64_t offset, uint32_t count)
{
	const struct image_address *entries = (const void *)(image->bytes + offset);

	if (count > IMAGE_MAX_NETWORK)
		return TOO_BIG("class %s: %u addresses to %s; at most %u", class->name, count, table,
			       IMAGE_MAX_NETWORK);
	if (!lies_inside(image, offset, (uint64_t)count * sizeof(*entries)))
		return WRONG("class %s: its addresses to %s lie outside the image", class->name, table);
	for (uint32_t i = 0; i < count; i++) {
		const struct image_address *entry = &entries[i];

		if (entry->prefix_bits > 128 || entry->reserved || !is_prefix(entry))
			return WRONG("class %s: address %u to %s isn't a prefix", class->name, i, table);
		if (entry->port_count > IMAGE_MAX_PORTS)
			return TOO_BIG("class %s: address %u to %s has %u port entries; at most %u", class->name, i,
				       table, entry->port_count, IMAGE_MAX_PORTS);
		if (entry->first_port > class->port_count || entry->port_count > class->port_count - entry->first_port)
			return WRONG("class %s: address %u to %s names ports that aren't there", class->name, i, table);
	}
	return DONE;
}

static int check_ports(const struct image *image, const struct image_class *class)
{
	const struct image_port *ports = (const void *)(image->bytes + class->port_offset);

	if (!lies_inside(image, class->port_offset, (uint64_t)class->port_count * sizeof(*ports)))
		return WRONG("class %s: its ports lie outside the image", class->name);
	for (uint32_t i = 0; i < class->port_count; i++)
		if (ports[i].first > ports[i].last || !ports[i].protocols ||
		    ports[i].protocols & ~(PROTOCOL_TCP | PROTOCOL_UDP) || ports[i].effect > PORT_PERMIT)
			return WRONG("class %s: port entry %u is no range of a protocol", class->name, i);
	return DONE;
}

bool is_class_name(const char *name, size_t bytes)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-";

	if (!bytes || bytes >= IMAGE_NAME_BYTES)
		return false;
	return strspn(name, letters) == bytes;
}

static int check_class(const struct image *image, uint32_t number)
{
	const struct image_class *class = &image->classes[number];
	size_t bytes = strnlen(class->name, IMAGE_NAME_BYTES);
	int status;

	if (bytes == IMAGE_NAME_BYTES || !is_class_name(class->name, bytes))
		return WRONG("class %u has no proper name", number);
	for (size_t i = bytes; i < IMAGE_NAME_BYTES; i++)
		if (class->name[i])
			return WRONG("class %u: its name isn't padded with zeros", number);
	if (number && strcmp(image->classes[number - 1].name, class->name) >= 0)
		return WRONG("class %s is out of order or there twice", class->name);
	if (class->flags & ~CLASS_FLAGS || class->reserved)
		return WRONG("class %s has unknown flags %#x", class->name, class->flags);
	if ((status = check_automaton(image, class)) || (status = check_anchors(image, class)) ||
	    (status = check_ports(image, class)))
		return status;
	status = check_addresses(image, class, "connect", class->network_offset, class->network_count);
	return status ? status : check_addresses(image, class, "bind", class->bind_offset, class->bind_count);
}

static bool has_digest(const struct image *image)
{
	static const uint8_t zeros[32];
	size_t field = offsetof(struct image_header, sha256);
	struct sha256 hash;
	uint8_t digest[32];

	sha256_begin(&hash);
	sha256_add(&hash, image->bytes, field);
	sha256_add(&hash, zeros, sizeof(zeros));
	sha256_add(&hash, image->bytes + field + 32, image->size - field - 32);
	sha256_end(&hash, digest);
	return !memcmp(digest, image->header->sha256, 32);
}

int check_image(const uint8_t *bytes, size_t size, struct image *image)
{
	int status;

	image->bytes = bytes;
	image->size = size;
	image->header = (const void *)bytes;
	image->classes = (const void *)(bytes + sizeof(struct image_header));
	if (size < sizeof(struct image_header) || memcmp(bytes, IMAGE_MAGIC, 8))
		return WRONG("not an image: it doesn't begin with " IMAGE_MAGIC);
	if (image->header->version != IMAGE_VERSION)
		return fail(REFUSED, "image_version", "an image of version %u; this loader knows %u",
			    image->header->version, IMAGE_VERSION);
	if (size > IMAGE_MAX_BYTES)
		return TOO_BIG("an image of %zu bytes; at most %u", size, IMAGE_MAX_BYTES);
	if (image->header->total_bytes != size)
		return WRONG("%zu bytes of an image of %lu", size, (unsigned long)image->header->total_bytes);
	if (!has_digest(image))
		return WRONG("its SHA-256 is another: damaged on the way");
	if (!image->header->generation || image->header->generation >> 53 || image->header->reserved)
		return WRONG("no proper generation");
	if (image->header->class_count > IMAGE_MAX_CLASSES)
		return TOO_BIG("%u classes; at most %u", image->header->class_count, IMAGE_MAX_CLASSES);
	if (image->header->class_count > (size - sizeof(struct image_header)) / sizeof(struct image_class))
		return WRONG("its classes lie outside the image");
	for (uint32_t i = 0; i < image->header->class_count; i++)
		if ((status = check_class(image, i)))
			return status;
	return DONE;
}

int read_image(const char *path, struct image *image)
{
	struct stat stat;
	uint8_t *bytes;
	size_t size = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat)) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return fail(REFUSED, "image_unreadable", "%s: %s", path, strerror(error));
	}
	if (stat.st_size > IMAGE_MAX_BYTES) {
		close(fd);
		return TOO_BIG("%s: %lu bytes; at most %u", path, (unsigned long)stat.st_size, IMAGE_MAX_BYTES);
	}
	/* A private copy: whoever may write the file can't change it between check and use. */
	bytes = mmap(NULL, stat.st_size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	while (bytes != MAP_FAILED && size < (size_t)stat.st_size) {
		ssize_t got = read(fd, bytes + size, stat.st_size - size);

		if (got <= 0)
			break;
		size += got;
	}
	close(fd);
	if (bytes == MAP_FAILED || size != (size_t)stat.st_size)
		return fail(REFUSED, "image_unreadable", "%s: read %zu of %lu bytes", path, size,
			    (unsigned long)stat.st_size);
	return check_image(bytes, size, image);
}
