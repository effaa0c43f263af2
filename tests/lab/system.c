/* Provocations by way of modules, kexec, hibernation, IPsec keys and lockdown's own file. */
#define _GNU_SOURCE
#include "provoke.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- modules: a Debian one whose signature was cut off */

static const char *const UNSIGNED_MODULE = "/images/module.ko", *const MODULE = "dummy";

static int unloads(int error)
{
    if (!error)
        syscall(SYS_delete_module, MODULE, O_NONBLOCK);
    return error;
}

static int run_finit_module(char *note)
{
    (void)note;
    int fd = open(UNSIGNED_MODULE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    return unloads(result_of(syscall(SYS_finit_module, fd, "", 0)));
}

static int run_init_module(char *note)
{
    struct stat file;
    (void)note;
    int fd = open(UNSIGNED_MODULE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) < 0)
        return errno;
    void *image = mmap(NULL, file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    return unloads(result_of(syscall(SYS_init_module, image, file.st_size, "")));
}

/* --- kexec */

static int run_kexec_load(char *note)
{
    (void)note;
    return result_of(syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL));
}

static int loads_kernel(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result_of(
        syscall(SYS_kexec_file_load, fd, -1, 1UL, "", (unsigned long)KEXEC_FILE_NO_INITRAMFS));
    close(fd);
    return error;
}

static int run_kexec_unsigned(char *note)
{
    (void)note;
    return loads_kernel("/images/vmlinuz.unsigned");
}

static int run_kexec_debian(char *note)
{
    (void)note;
    return loads_kernel("/images/vmlinuz");
}

static int run_kexec_signed(char *note)
{
    (void)note;
    return loads_kernel("/images/vmlinuz.signed");
}

/* --- hibernation */

static int run_power_read(char *note)
{
    int error = reads("/sys/power/state", note, NOTE_BYTES);
    note[strcspn(note, "\n")] = 0;
    return error;
}

static int run_power_disk(char *note)
{
    int error = reads("/sys/power/disk", note, NOTE_BYTES);
    note[strcspn(note, "\n")] = 0;
    return error;
}

static int run_power_write(char *note)
{
    (void)note;
    return writes("/sys/power/state", "disk");
}

static int run_snapshot(char *note)
{
    (void)note;
    return opens("/dev/snapshot", O_RDONLY);
}

/* --- IPsec keys: a state is made, then shown as `ip xfrm state` would */

static const char KEY[] = "sixteen byte key";

struct state_request {
    struct nlmsghdr header;
    struct xfrm_usersa_info state;
    struct rtattr attribute;
    struct xfrm_algo algorithm;
    char key[sizeof KEY - 1];
};

static int adds_state(int netlink)
{
    struct state_request request = {
        .header = { .nlmsg_len = sizeof request, .nlmsg_type = XFRM_MSG_NEWSA,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE },
        .state = { .family = AF_INET, .mode = XFRM_MODE_TRANSPORT,
                   .id = { .daddr.a4 = 0x0100007f, .spi = 0x01000000, .proto = IPPROTO_AH },
                   .saddr.a4 = 0x0100007f,
                   .lft = { XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF } },
        .attribute = { sizeof request.attribute + sizeof request.algorithm + sizeof request.key,
                       XFRMA_ALG_AUTH },
        .algorithm = { .alg_name = "hmac(sha256)", .alg_key_len = 8 * sizeof request.key },
    };
    struct { struct nlmsghdr header; struct nlmsgerr error; } answer;
    memcpy(request.key, KEY, sizeof request.key);
    if (send(netlink, &request, sizeof request, 0) < 0)
        return errno;
    if (recv(netlink, &answer, sizeof answer, 0) < 0)
        return errno;
    return -answer.error.error == EEXIST ? 0 : -answer.error.error;
}

static int shows_state(int netlink, char *note)
{
    struct nlmsghdr request = {
        .nlmsg_len = sizeof request, .nlmsg_type = XFRM_MSG_GETSA,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
    };
    static char answer[16384];
    if (send(netlink, &request, sizeof request, 0) < 0)
        return errno;
    ssize_t got = recv(netlink, answer, sizeof answer, 0);
    if (got < 0)
        return errno;
    strcpy(note, memmem(answer, got, KEY, sizeof KEY - 1) ? "the key is shown" : "the key is blanked");
    return 0;
}

static int run_xfrm_dump(char *note)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);
    if (netlink < 0)
        return errno;
    int error = adds_state(netlink);
    if (error)
        strcpy(note, "no IPsec state could be made");
    else
        error = shows_state(netlink, note);
    close(netlink);
    return error;
}

/* --- lockdown itself */

static const char *const LOCKDOWN = "/sys/kernel/security/lockdown";

/* The level in force, which the file shows in brackets. */
static int run_level(char *note)
{
    char levels[64];
    int error = reads(LOCKDOWN, levels, sizeof levels);
    char *level = strchr(levels, '[');
    if (level)
        snprintf(note, NOTE_BYTES, "level: %.*s", (int)strcspn(level + 1, "]"), level + 1);
    return error;
}

static int sets(const char *level, char *note)
{
    int error = writes(LOCKDOWN, level);
    run_level(note);
    return error;
}

#define SETS(name, level) \
    static int run_##name(char *note) { return sets(level, note); }

SETS(set_none, "none")
SETS(set_integrity, "integrity")
SETS(set_confid, "confidentiality")

static int run_sysrq_x(char *note)
{
    (void)note;
    return writes("/proc/sysrq-trigger", "x");
}

const struct operation system_operations[] = {
    { "finit_module", run_finit_module, 1 },
    { "init_module", run_init_module, 1 },
    { "kexec_load", run_kexec_load, 1 },
    { "kexec_unsigned", run_kexec_unsigned, 1 },
    { "kexec_debian", run_kexec_debian, 1 },
    { "kexec_signed", run_kexec_signed, 1 },
    { "power_read", run_power_read, 1 },
    { "power_disk", run_power_disk, 1 },
    { "power_write", run_power_write, 2 },
    { "snapshot", run_snapshot, 1 },
    { "xfrm_dump", run_xfrm_dump, 2 },
    { "set_none", run_set_none, 0 },
    { "set_integrity", run_set_integrity, 0 },
    { "set_confid", run_set_confid, 0 },
    { "level", run_level, 0 },
    { "sysrq_x", run_sysrq_x, 0 },
    { 0 },
};
