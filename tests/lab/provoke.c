/* PID 1 of a small guest: provokes what /plan lists and tells what the kernel made of it.

   Each line of /plan is `operation [times=N] [uid=N] [comm=HEX] [now]`. For each, one line of
   JSON goes to ttyS1: the errno, and all records that /dev/kmsg gave since the one before, raw.
   printk() writes into the ring before the refused call returns, and a mark of our own is
   written after it: what stands before the mark is all there is, so nothing is waited for. */
#define _GNU_SOURCE
#include "provoke.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/*
 * lib/ratelimit.c with lockdown's settings (6.1 and later): 10 lines in 5 s, for all together. It
 * counts in jiffies and may begin its window a line before or after where the records' times have
 * it begin, the more so on a busy host: hence the margin, and two lines to spare.
 */
enum { BURST = 10, SPARE = 2, INTERVAL_US = 5000000, MARGIN_US = 500000 };
enum { RECORD_BYTES = 16384, LONGEST_OPERATION_S = 40, MOST_WASHED = 1000 };

static struct { long long since_us; int used; } window = { -2 * INTERVAL_US, 0 };
static long long clock_offset_us; /* printk's clock less CLOCK_MONOTONIC */
static int kmsg = -1, marks;
static FILE *channel;

/* --- small tools */

int result_of(long result) { return result < 0 ? errno : 0; }

int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int error = result_of(fd);
    if (fd >= 0)
        close(fd);
    return error;
}

int writes(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result_of(write(fd, text, strlen(text)));
    close(fd);
    return error;
}

int reads(const char *path, char *into, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t got = read(fd, into, size - 1);
    int error = result_of(got);
    into[got > 0 ? got : 0] = 0;
    close(fd);
    return error;
}

static long long monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* --- what goes out */

static void say_json(const char *text)
{
    fputc('"', channel);
    for (const unsigned char *c = (const void *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(channel, "\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f)
            fprintf(channel, "\\u%04x", *c);
        else
            fputc(*c, channel);
    fputc('"', channel);
}

static void say_record(const char *record, int *said)
{
    if ((*said)++)
        fputc(',', channel);
    say_json(record);
}

/* --- what the kernel says */

static void count_denial(const char *record)
{
    int prio;
    long long seq, usec;
    if (sscanf(record, "%d,%lld,%lld,", &prio, &seq, &usec) != 3 || prio >= 8)
        return;
    if (!strstr(record, ";Lockdown: ") || !strstr(record, " is restricted"))
        return;
    if (usec > window.since_us + INTERVAL_US) {
        window.since_us = usec;
        window.used = 0;
    }
    window.used++;
}

static void put_mark(char *mark, size_t size)
{
    /* Opened anew each time: the limit on what user space writes is kept per open file. */
    snprintf(mark, size, "lab: mark %d\n", marks++);
    char line[64];
    snprintf(line, sizeof line, "<7>%s", mark);
    writes("/dev/kmsg", line);
}

/* Tells the ring as syslog(2) gives it, which printk.devkmsg=off leaves alone. */
static void say_syslog(void)
{
    static char ring[1 << 20];
    int said = 0, got = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, ring, sizeof ring - 1);
    ring[got > 0 ? got : 0] = 0;
    for (char *line = strtok(ring, "\n"); line; line = strtok(NULL, "\n"))
        say_record(line, &said);
}

/* Tells all records up to a mark that is written now. */
static void drain(void)
{
    static char record[RECORD_BYTES];
    char mark[32];
    int said = 0;
    if (kmsg < 0) {
        say_syslog();
        return;
    }
    put_mark(mark, sizeof mark);
    for (;;) {
        ssize_t got = read(kmsg, record, sizeof record - 1);
        if (got < 0 && errno == EPIPE)
            continue; /* overwritten: the sequence numbers tell how many */
        if (got <= 0)
            return;
        record[got] = 0;
        say_record(record, &said);
        count_denial(record);
        const char *text = strchr(record, ';');
        if (text && !strcmp(text + 1, mark)) {
            clock_offset_us = atoll(strchr(strchr(record, ',') + 1, ',') + 1) - monotonic_us();
            return;
        }
    }
}

/* Waits until the kernel has room for as many more lines: for its window to pass, no longer. */
static void rest(int lines)
{
    long long since = monotonic_us() + clock_offset_us - window.since_us;
    int at_its_end = since > INTERVAL_US - MARGIN_US && since < INTERVAL_US + MARGIN_US;
    if (since > INTERVAL_US + MARGIN_US || (window.used + lines <= BURST - SPARE && !at_its_end))
        return;
    usleep(INTERVAL_US + MARGIN_US - since);
}

/* --- operations on the log itself */

static int run_forge(char *note)
{
    (void)note;
    return writes("/dev/kmsg", "<5>Lockdown: systemd: hibernation is restricted;"
                               " see man kernel_lockdown.7\n");
}

static int run_kmsg_open(char *note)
{
    (void)note;
    return opens("/dev/kmsg", O_RDONLY);
}

/* Overwrites the whole ring, by lines that go to no console. */
static int run_wash(char *note)
{
    char line[900];
    memset(line, 'x', sizeof line);
    memcpy(line, "<7>washed ", 10);
    line[sizeof line - 2] = '\n';
    line[sizeof line - 1] = 0;
    int error = writes("/proc/sys/kernel/printk_devkmsg", "on\n");
    for (int i = 0; i < MOST_WASHED && !error; i++)
        error = writes("/dev/kmsg", line);
    snprintf(note, NOTE_BYTES, "%d lines written", MOST_WASHED);
    return error;
}

/* For ever, and the guest with it: PID 1 waits for its child. */
static int run_hang(char *note)
{
    (void)note;
    alarm(0);
    return result_of(pause());
}

static const struct operation log_operations[] = {
    { "forge", run_forge, 0 },
    { "kmsg_open", run_kmsg_open, 0 },
    { "wash", run_wash, 0 },
    { "hang", run_hang, 0 },
    { 0 },
};

/* --- running them */

struct step {
    char operation[32];
    char comm[16];
    int times, uid, now;
};

struct outcome {
    int error;
    char note[NOTE_BYTES];
};

static const struct operation *find(const char *name)
{
    static const struct operation *const tables[] = {
        log_operations, device_operations, system_operations, tracing_operations,
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct operation *found = tables[i]; found->name; found++)
            if (!strcmp(found->name, name))
                return found;
    return NULL;
}

static void from_hex(const char *hex, char *into, size_t size)
{
    unsigned byte;
    for (size_t i = 0; i < size - 1 && sscanf(hex, "%2x", &byte) == 1; i++, hex += 2)
        into[i] = (char)byte;
}

static struct step parse(char *line)
{
    struct step step = { .times = 1 };
    char *word = strtok(line, " \n");
    snprintf(step.operation, sizeof step.operation, "%s", word ? word : "");
    snprintf(step.comm, sizeof step.comm, "%.15s", step.operation);
    while ((word = strtok(NULL, " \n"))) {
        sscanf(word, "times=%d", &step.times);
        sscanf(word, "uid=%d", &step.uid);
        step.now |= !strcmp(word, "now");
        if (!strncmp(word, "comm=", 5)) {
            memset(step.comm, 0, sizeof step.comm);
            from_hex(word + 5, step.comm, sizeof step.comm);
        }
    }
    return step;
}

static void child(const struct operation *operation, const struct step *step, struct outcome *out)
{
    prctl(PR_SET_NAME, step->comm);
    alarm(LONGEST_OPERATION_S);
    if (step->uid && (setgid(step->uid) || setuid(step->uid)))
        _exit(1);
    for (int i = 0; i < step->times; i++)
        out->error = operation->run(out->note);
    _exit(0);
}

/* Runs it in a process of its own, for its name is what the kernel will write. */
static void run(const struct operation *operation, const struct step *step, struct outcome *out)
{
    memset(out, 0, sizeof *out);
    int status = 0;
    pid_t pid = fork();
    if (!pid)
        child(operation, step, out);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status))
        return;
    out->error = -1;
    snprintf(out->note, sizeof out->note, "ended with wait status 0x%x", status);
}

static void say_outcome(const char *name, const struct outcome *out)
{
    fprintf(channel, "{\"op\":\"%s\",\"errno\":%d,\"note\":", name, out->error);
    say_json(out->note);
    fputs(",\"records\":[", channel);
    drain();
    fputs("]}\n", channel);
    fflush(channel);
}

static void provoke(char *line, struct outcome *out)
{
    struct step step = parse(line);
    const struct operation *operation = find(step.operation);
    if (!operation) {
        *out = (struct outcome){ -1, "provoke has no such operation" };
    } else {
        if (!step.now)
            rest(operation->lines * step.times);
        fprintf(stderr, "lab: %s\n", step.operation);
        run(operation, &step, out);
    }
    say_outcome(step.operation, out);
}

/* --- the guest */

static void mount_all(void)
{
    static const char *const mounts[][2] = {
        { "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
        { "securityfs", "/sys/kernel/security" }, { "debugfs", "/sys/kernel/debug" },
        { "tracefs", "/sys/kernel/tracing" }, { "efivarfs", "/sys/firmware/efi/efivars" },
    };
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        mkdir(mounts[i][1], 0755);
        mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL);
    }
}

static void load_modules(struct outcome *out)
{
    char path[256];
    FILE *order = fopen("/modules/order", "r");
    while (order && fgets(path, sizeof path, order)) {
        path[strcspn(path, "\n")] = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        int error = result_of(syscall(SYS_finit_module, fd, "", 0));
        size_t used = strlen(out->note);
        if (error)
            snprintf(out->note + used, NOTE_BYTES - used, "%s: %s; ", path, strerror(error));
        close(fd);
    }
    if (order)
        fclose(order);
}

static void open_channel(void)
{
    int fd = open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    tcgetattr(fd, &raw);
    cfmakeraw(&raw);
    tcsetattr(fd, TCSANOW, &raw);
    channel = fdopen(fd, "w");
}

static int is_guest(void)
{
    char line[4096] = "";
    if (getpid() == 1 && access("/proc/cmdline", R_OK)) {
        mkdir("/proc", 0555);
        mount("proc", "/proc", "proc", 0, NULL);
    }
    return getpid() == 1 && !reads("/proc/cmdline", line, sizeof line) && strstr(line, "lab.guest");
}

int main(void)
{
    if (!is_guest()) {
        fputs("provoke: not PID 1 of a guest of the lab; it would harm this machine\n", stderr);
        return 2;
    }
    mount_all();
    struct outcome *out = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    open_channel();
    load_modules(out);
    mount_all(); /* again, for file systems that are modules */
    kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    out->error = result_of(kmsg);
    say_outcome("boot", out);

    char line[256];
    FILE *plan = fopen("/plan", "r");
    while (plan && fgets(line, sizeof line, plan))
        provoke(line, out);
    *out = (struct outcome){ 0 };
    say_outcome("end", out);
    tcdrain(fileno(channel));
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}
