/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#ifndef HOPGATE_SHA256_H
#define HOPGATE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t bytes);
void sha256_end(struct sha256 *hash, uint8_t digest[32]);

#endif
