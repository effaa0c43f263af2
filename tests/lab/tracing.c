/* Provocations by way of BPF, perf, kprobes and tracefs. */
#define _GNU_SOURCE
#include "provoke.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- BPF: a kprobe program of one helper call, as BCC would load it */

static struct bpf_insn insn(int code, int dst, int src, int off, int imm)
{
    return (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

/* Loads a program that calls helper(a, b, c), where one of the three is 8 bytes of its stack. */
static int loads_program(int helper, int stack, const int args[3], char *note)
{
    const struct bpf_insn program[] = {
        insn(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, args[0]),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, args[1]),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, args[2]),
        insn(BPF_ALU64 | BPF_MOV | BPF_X, stack, BPF_REG_10, 0, 0),
        insn(BPF_ALU64 | BPF_ADD | BPF_K, stack, 0, 0, -8),
        insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
        insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    static char log[8192];
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_KPROBE, .insns = (uintptr_t)program,
        .insn_cnt = sizeof program / sizeof *program, .license = (uintptr_t)"GPL",
        .log_buf = (uintptr_t)log, .log_size = sizeof log, .log_level = 1,
    };
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    int error = result_of(fd);
    if (fd >= 0)
        close(fd);
    /* The verifier's words for it: the only line that speaks of a function or helper. */
    for (char *line = strtok(log, "\n"); line && error; line = strtok(NULL, "\n"))
        if (strstr(line, "unknown func") || strstr(line, "cannot use helper"))
            snprintf(note, NOTE_BYTES, "%s", line);
    return error;
}

/* probe_read and its kin: (to, size, from). */
#define READS(name, helper) \
    static int run_##name(char *note) \
    { return loads_program(helper, BPF_REG_1, (const int[3]){ 0, 8, 0 }, note); }

READS(bpf_read, BPF_FUNC_probe_read_kernel)
READS(bpf_read_old, BPF_FUNC_probe_read)
READS(bpf_read_str, BPF_FUNC_probe_read_kernel_str)
READS(bpf_read_user, BPF_FUNC_probe_read_user)

/* probe_write_user: (to, from, size). */
static int run_bpf_write(char *note)
{
    return loads_program(BPF_FUNC_probe_write_user, BPF_REG_2, (const int[3]){ 0, 0, 8 }, note);
}

static int run_bpf_map(char *note)
{
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1,
    };
    (void)note;
    int fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
    int error = result_of(fd);
    if (fd >= 0)
        close(fd);
    return error;
}

/* --- perf */

static int opens_event(struct perf_event_attr *attr)
{
    attr->size = sizeof *attr;
    int fd = syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    int error = result_of(fd);
    if (fd >= 0)
        close(fd);
    return error;
}

static int run_perf_clock(char *note)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK };
    (void)note;
    return opens_event(&attr);
}

static int run_perf_regs(char *note)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 1000000,
        .sample_type = PERF_SAMPLE_REGS_INTR, .sample_regs_intr = 1ULL << 8 /* ip */,
    };
    (void)note;
    return opens_event(&attr);
}

static int run_kprobe_perf(char *note)
{
    char type[16];
    int error = reads("/sys/bus/event_source/devices/kprobe/type", type, sizeof type);
    if (error)
        return error;
    struct perf_event_attr attr = {
        .type = atoi(type), .config1 = (uintptr_t)"vfs_read",
    };
    (void)note;
    return opens_event(&attr);
}

/* --- tracefs */

static int run_kprobe_trace(char *note)
{
    (void)note;
    int fd = open("/sys/kernel/tracing/kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result_of(write(fd, "p:lab/probe vfs_read", 20));
    close(fd);
    if (!error)
        writes("/sys/kernel/tracing/kprobe_events", "");
    return error;
}

static int run_tracefs(char *note)
{
    (void)note;
    return opens("/sys/kernel/tracing/trace", O_RDONLY);
}

const struct operation tracing_operations[] = {
    { "bpf_read", run_bpf_read, 7 },
    { "bpf_read_old", run_bpf_read_old, 7 },
    { "bpf_read_str", run_bpf_read_str, 7 },
    { "bpf_read_user", run_bpf_read_user, 0 },
    { "bpf_write", run_bpf_write, 7 },
    { "bpf_map", run_bpf_map, 0 },
    { "perf_clock", run_perf_clock, 1 },
    { "perf_regs", run_perf_regs, 1 },
    { "kprobe_perf", run_kprobe_perf, 1 },
    { "kprobe_trace", run_kprobe_trace, 1 },
    { "tracefs", run_tracefs, 1 },
    { 0 },
};
