/* Names and what is known of files: rows 7, 9, 10, 19, 20. */
#include "guest.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

static void clean(void)
{
	static const char *const made[] = { "/work/new",  "/work/sub/a", "/work/b",   "/out/new", "/out/moved",
					    "/work/dev",  "/work/fifo",  "/work/link2" };

	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		unlink(made[i]);
		rmdir(made[i]);
	}
	rename("/work/moved", "/work/dir");
	rename("/out/dir", "/work/dir");
	rename("/work/open", "/work/private");
	mkdir("/work/sub", 0755);
	put("/work/sub/a", "a");
	put("/work/ok.txt", "ok");
	put("/out/file.txt", "out");
	put("/work/private/x", "private");
	rmdir("/out/empty");
	mkdir("/out/empty", 0755);
}

#define ACT(name, expression)                                                                                          \
	static int name(void)                                                                                          \
	{                                                                                                              \
		return seen(expression);                                                                               \
	}

ACT(link_forbidden, link("/out/file.txt", "/work/new"))
ACT(link_anchored, link("/vault/v.txt", "/work/new"))
ACT(link_inside, link("/work/ok.txt", "/work/new"))
ACT(rename_forbidden, rename("/work/private/x", "/work/new"))
ACT(rename_holding, rename("/work/private", "/work/open"))
ACT(rename_exchange, syscall(SYS_renameat2, AT_FDCWD, "/work/ok.txt", AT_FDCWD, "/out/file.txt", RENAME_EXCHANGE))
ACT(rename_exchange_back, syscall(SYS_renameat2, AT_FDCWD, "/out/file.txt", AT_FDCWD, "/work/ok.txt", RENAME_EXCHANGE))
ACT(rename_out, rename("/work/ok.txt", "/out/moved"))
ACT(rename_in, rename("/out/file.txt", "/work/new"))
ACT(rename_inside, rename("/work/sub/a", "/work/b"))
ACT(rename_directory_inside, rename("/work/dir", "/work/moved"))
ACT(rename_directory_out, rename("/work/dir", "/out/dir"))
ACT(rename_above, rename("/work", "/working"))
ACT(truncate_, truncate("/out/file.txt", 0))
ACT(unlink_, unlink("/out/file.txt"))
ACT(unlink_inside, unlink("/work/ok.txt"))
ACT(rmdir_, rmdir("/out/empty"))
ACT(chmod_, chmod("/out/file.txt", 0600))
ACT(chmod_inside, chmod("/work/ok.txt", 0600))
ACT(chown_, chown("/out/file.txt", 1, 1))
ACT(utime_, utimes("/out/file.txt", NULL))
ACT(utime_inside, utimes("/work/ok.txt", NULL))
ACT(utime_alias, utimes("/work/alias/d.txt", NULL))
ACT(setxattr_, setxattr("/out/file.txt", "trusted.hop", "x", 1, 0))
ACT(setxattr_inside, setxattr("/work/ok.txt", "trusted.hop", "x", 1, 0))
ACT(removexattr_, removexattr("/out/file.txt", "trusted.hop"))
ACT(mkdir_, mkdir("/out/new", 0755))
ACT(mkdir_inside, mkdir("/work/new", 0755))
ACT(symlink_, symlink("/work/ok.txt", "/out/new"))
ACT(mknod_device, mknod("/work/dev", S_IFCHR | 0600, makedev(1, 3)))
ACT(mknod_disk, mknod("/work/dev", S_IFBLK | 0600, makedev(7, 0)))
ACT(mknod_outside, mknod("/out/new", S_IFREG | 0600, 0))
ACT(mkfifo_inside, mkfifo("/work/fifo", 0600))

static void with_attribute(void)
{
	clean();
	setxattr("/out/file.txt", "trusted.hop", "x", 1, 0);
}

static void above(void)
{
	rename("/working", "/work");
	clean();
}

const struct probe name_probes[] = {
	{ "link-forbidden", "plain", clean, NULL, link_forbidden },
	{ "link-anchored", "plain", clean, NULL, link_anchored },
	{ "link-inside", "plain", clean, NULL, link_inside },
	{ "rename-forbidden", "plain", clean, NULL, rename_forbidden },
	{ "rename-holding-forbidden", "plain", clean, NULL, rename_holding },
	{ "rename-exchange", "plain", clean, NULL, rename_exchange },
	{ "rename-exchange-back", "plain", clean, NULL, rename_exchange_back },
	{ "rename-out", "plain", clean, NULL, rename_out },
	{ "rename-in", "plain", clean, NULL, rename_in },
	{ "rename-inside", "plain", clean, NULL, rename_inside },
	{ "rename-directory-inside", "plain", clean, NULL, rename_directory_inside },
	{ "rename-directory-out", "plain", clean, NULL, rename_directory_out },
	{ "truncate", "plain", clean, NULL, truncate_ },
	{ "unlink", "plain", clean, NULL, unlink_ },
	{ "unlink-inside", "plain", clean, NULL, unlink_inside },
	{ "rmdir", "plain", clean, NULL, rmdir_ },
	{ "chmod", "plain", clean, NULL, chmod_ },
	{ "chmod-inside", "plain", clean, NULL, chmod_inside },
	{ "chown", "plain", clean, NULL, chown_ },
	{ "utime", "plain", clean, NULL, utime_ },
	{ "utime-inside", "plain", clean, NULL, utime_inside },
	{ "utime-alias", "plain", clean, NULL, utime_alias },
	{ "setxattr", "plain", clean, NULL, setxattr_ },
	{ "setxattr-inside", "plain", clean, NULL, setxattr_inside },
	{ "removexattr", "plain", with_attribute, NULL, removexattr_ },
	{ "mkdir", "plain", clean, NULL, mkdir_ },
	{ "mkdir-inside", "plain", clean, NULL, mkdir_inside },
	{ "symlink", "plain", clean, NULL, symlink_ },
	{ "mknod-device", "plain", clean, NULL, mknod_device },
	{ "mknod-disk", "plain", clean, NULL, mknod_disk },
	{ "mknod-outside", "plain", clean, NULL, mknod_outside },
	{ "mkfifo-inside", "plain", clean, NULL, mkfifo_inside },
	{ "audit-unlink", "audit", clean, NULL, unlink_ },
	{ "rename-above", "plain", above, NULL, rename_above },
	{ "names-restored", "plain", above, NULL, chmod_inside },
	{ 0 },
};
