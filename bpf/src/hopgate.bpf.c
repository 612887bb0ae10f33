/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* One object for all kernels; one file a family of hooks. */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "shared.h"

#include "maps.bpf.h"
#include "subject.bpf.h"
#include "verdict.bpf.h"

#include "path.bpf.h"

#include "automaton.bpf.h"
#include "destination.bpf.h"

#include "files.bpf.c"
#include "names.bpf.c"
#include "network.bpf.c"
#include "process.bpf.c"
#include "programs.bpf.c"
#include "sockets.bpf.c"

/* The kernel lends these helpers to programs under the GPL only. */
char _license[] SEC("license") = "GPL";
