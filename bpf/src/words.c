/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the loader says: JSON strings, errors, names of hooks and reasons. */
#include "loader.h"

#include <stdarg.h>
#include <string.h>

static const char *const HOOK_NAMES[HOOK_COUNT] = {
#define X(id, name) [HOOK_##id] = name,
	HOOKS(X)
#undef X
};

static const char *const REASON_NAMES[REASON_COUNT] = {
#define X(id, name) [REASON_##id] = name,
	REASONS(X)
#undef X
};

const char *hook_name(unsigned hook)
{
	return hook < HOOK_COUNT ? HOOK_NAMES[hook] : "unknown";
}

const char *reason_name(unsigned reason)
{
	return reason < REASON_COUNT ? REASON_NAMES[reason] : "unknown";
}

/* Bytes of the UTF-8 sequence that begins here (RFC 3629), or 0. */
static size_t sequence(const unsigned char *at, size_t left)
{
	size_t bytes = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 :
		       at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;

	if (!bytes || bytes > left)
		return 0;
	for (size_t i = 1; i < bytes; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
	    (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return bytes;
}

void print_string(FILE *to, const char *text, size_t bytes)
{
	const unsigned char *at = (const void *)text, *end = at + bytes;

	fputc('"', to);
	while (at < end) {
		size_t taken = sequence(at, end - at);

		if (!taken)
			fputs("\\ufffd", to);
		else if (*at == '"' || *at == '\\')
			fprintf(to, "\\%c", *at);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(to, "\\u%04x", *at);
		else
			fwrite(at, 1, taken, to);
		at += taken ? taken : 1;
	}
	fputc('"', to);
}

int fail(enum exit_code status, const char *code, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	fputs("{\"error\":", stderr);
	print_string(stderr, message, strlen(message));
	fputs(",\"code\":", stderr);
	print_string(stderr, code, strlen(code));
	fputs("}\n", stderr);
	return status;
}
