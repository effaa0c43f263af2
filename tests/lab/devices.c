/* Provocations by way of device nodes, ports, registers, PCI, debugfs and serial lines. */
#define _GNU_SOURCE
#include "provoke.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPENS(name, path, flags) \
    static int run_##name(char *note) { (void)note; return opens(path, flags); }

OPENS(dev_mem, "/dev/mem", O_RDONLY)
OPENS(dev_port, "/dev/port", O_RDONLY)
OPENS(efi_test, "/dev/efi_test", O_RDONLY)
OPENS(kcore, "/proc/kcore", O_RDONLY)
OPENS(debugfs_write, "/sys/kernel/debug/clear_warn_once", O_WRONLY)
OPENS(debugfs_read, "/sys/kernel/debug/kprobes/list", O_RDONLY)

static int run_debugfs_chmod(char *note)
{
    (void)note;
    return result_of(chmod("/sys/kernel/debug/clear_warn_once", 0200));
}

static int run_ioperm(char *note)
{
    (void)note;
    return result_of(ioperm(0x80, 1, 1));
}

static int run_iopl(char *note)
{
    (void)note;
    return result_of(iopl(3));
}

/* Writes back what stands there: TSC_AUX, which no kernel minds. */
enum { TSC_AUX = 0xc0000103 };

static int run_msr_write(char *note)
{
    uint64_t value = 0;
    int fd = open("/dev/cpu/0/msr", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (pread(fd, &value, sizeof value, TSC_AUX) == sizeof value)
        strcpy(note, "reading is allowed");
    int error = result_of(pwrite(fd, &value, sizeof value, TSC_AUX));
    close(fd);
    return error;
}

static int run_msr_ioctl(char *note)
{
    uint32_t registers[8] = { 0, TSC_AUX };
    (void)note;
    int fd = open("/dev/cpu/0/msr", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result_of(ioctl(fd, _IOWR('c', 0xA1, uint32_t[8]) /* X86_IOC_WRMSR_REGS */,
                                registers));
    close(fd);
    return error;
}

/* Writes back the interrupt line of the host bridge, which has none. */
static int rewrites_config(const char *path)
{
    char value;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    pread(fd, &value, 1, 0x3c);
    int error = result_of(pwrite(fd, &value, 1, 0x3c));
    close(fd);
    return error;
}

static int run_pci_sysfs(char *note)
{
    (void)note;
    return rewrites_config("/sys/bus/pci/devices/0000:00:00.0/config");
}

static int run_pci_proc(char *note)
{
    (void)note;
    return rewrites_config("/proc/bus/pci/00/00.0");
}

static int maps(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    int error = memory == MAP_FAILED ? errno : 0;
    if (!error)
        munmap(memory, 4096);
    close(fd);
    return error;
}

/* Maps the registers of the machine's AHCI controller, BAR 5. */
static int run_pci_mmap(char *note)
{
    (void)note;
    return maps("/sys/bus/pci/devices/0000:00:1f.2/resource5");
}

/* ttyS3 has no hardware behind it: another interrupt harms nobody. */
static int run_tiocsserial(char *note)
{
    struct serial_struct line;
    (void)note;
    int fd = open("/dev/ttyS3", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TIOCGSERIAL, &line) < 0)
        return errno;
    line.irq = line.irq == 5 ? 7 : 5;
    int error = result_of(ioctl(fd, TIOCSSERIAL, &line));
    close(fd);
    return error;
}

/* 8250's share_irqs is declared module_param_hw: writing back its own value is refused too. */
static int run_module_param(char *note)
{
    const char *path = "/sys/module/8250/parameters/share_irqs";
    char value[16];
    (void)note;
    int error = reads(path, value, sizeof value);
    return error ? error : writes(path, value);
}

const struct operation device_operations[] = {
    { "dev_mem", run_dev_mem, 1 },
    { "dev_port", run_dev_port, 1 },
    { "efi_test", run_efi_test, 1 },
    { "kcore", run_kcore, 1 },
    { "debugfs_write", run_debugfs_write, 1 },
    { "debugfs_read", run_debugfs_read, 1 },
    { "debugfs_chmod", run_debugfs_chmod, 1 },
    { "ioperm", run_ioperm, 1 },
    { "iopl", run_iopl, 1 },
    { "msr_write", run_msr_write, 1 },
    { "msr_ioctl", run_msr_ioctl, 1 },
    { "pci_sysfs", run_pci_sysfs, 1 },
    { "pci_proc", run_pci_proc, 1 },
    { "pci_mmap", run_pci_mmap, 1 },
    { "tiocsserial", run_tiocsserial, 1 },
    { "module_param", run_module_param, 1 },
    { 0 },
};
