/*
 * The full guest's first program: loads what its disk needs and hands over to the disk's own init.
 * It ends only where it fails, which is a panic; the console then says why.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DISK "/dev/vda"
#define ROOT "/root"
#define DISK_WAIT_MS 20000

static void must(int status, const char *what)
{
	if (status == 0)
		return;
	perror(what);
	exit(1);
}

/* Not every machine takes every module (efivarfs wants UEFI): what is really missed shows below. */
static void load_modules(void)
{
	char path[256];
	FILE *order = fopen("/modules/order", "r");

	must(order == NULL, "/modules/order");
	while (fgets(path, sizeof path, order)) {
		path[strcspn(path, "\n")] = 0;
		int module = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, module, "", 0) != 0)
			perror(path);
		close(module);
	}
	fclose(order);
}

static void wait_for_disk(void)
{
	struct stat disk;

	for (int ms = 0; stat(DISK, &disk) != 0 && ms < DISK_WAIT_MS; ms += 10)
		usleep(10000);
}

int main(void)
{
	must(mount("dev", "/dev", "devtmpfs", 0, NULL), "/dev");
	dup2(open("/dev/console", O_RDWR), STDERR_FILENO);
	load_modules();
	wait_for_disk();
	must(mount(DISK, ROOT, "ext4", 0, NULL), DISK);
	/* As switch_root(8) does it: the disk is moved over the root that is left behind. */
	must(mount("/dev", ROOT "/dev", NULL, MS_MOVE, NULL), ROOT "/dev");
	must(chdir(ROOT), ROOT);
	must(mount(".", "/", NULL, MS_MOVE, NULL), "/");
	must(chroot("."), "chroot");
	execl("/sbin/init", "init", NULL);
	perror("/sbin/init");
	return 1;
}
