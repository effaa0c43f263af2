"""What programs say when lockdown, or something that looks like it, refuses them.

Programs name the wrong cause; these rows name the likely ones. Read in the issue threads of
bcc, bpftrace, cilium/ebpf, intel-undervolt, flashrom, kexec-tools and others, and in the man
pages of bpf(2) and perf_event_open(2).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Complaint(NamedTuple):
    """A text programs print. `says` are lower-case parts of it, one of which must occur."""

    says: tuple[str, ...]
    title: str
    meaning: str
    reasons: tuple[str, ...] = ()


COMPLAINTS: Final = (
    Complaint(
        ("unknown func bpf_probe_read", "cannot use helper bpf_probe_read"),
        "The verifier does not know the helper: lockdown in confidentiality mode",
        "Since 5.13 a kernel in confidentiality mode takes the helpers that read kernel memory"
        " away, so loading fails with EINVAL, not EPERM.",
        ("bpf_read_kernel",),
    ),
    Complaint(
        ("unknown func bpf_probe_write_user", "cannot use helper bpf_probe_write_user"),
        "The verifier does not know the helper: lockdown",
        "A locked kernel, in integrity mode too, takes bpf_probe_write_user away, so loading"
        " fails with EINVAL.",
        ("bpf_write_user",),
    ),
    Complaint(
        ("memlock", "rlimit_memlock"),
        "Probably not lockdown: the limit on locked memory",
        "Before 5.11 BPF maps count against RLIMIT_MEMLOCK, and too low a limit gives EPERM, even"
        " to root. But some programs print this advice for every EPERM: if the limit is high and"
        " the kernel older than 5.4 and locked down, it is lockdown.",
        ("bpf",),
    ),
    Complaint(
        ("failed to load program: operation not permitted", "need super-user privileges to run"),
        "BPF was refused: lockdown before 5.4, or a missing capability",
        "On distribution kernels before 5.4 that are locked down every bpf() call gives EPERM and"
        " the kernel says so once per boot. On later kernels look at capabilities, seccomp and"
        " user namespaces first.",
        ("bpf",),
    ),
    Complaint(
        ("key was rejected by service", "ekeyrejected"),
        "The module's signature was checked and refused",
        "module.sig_enforce is on, or the signature is broken or by a key that is revoked. Under"
        ' lockdown alone it is "Operation not permitted".',
        ("module_signature",),
    ),
    Complaint(
        ("required key not available", "enokey"),
        "The module is signed with a key this kernel does not know",
        "Enrol the key (mokutil --import, confirm at boot) or use the distribution's package.",
        ("module_signature",),
    ),
    Complaint(
        ("write msr", "msr_write", "wrmsr"),
        "Writing an MSR was refused: lockdown, or msr.allow_writes=off, or a BIOS lock",
        'Lockdown leaves a line with "raw MSR access" in the kernel log; the others do not.',
        ("msr",),
    ),
    Complaint(
        ("kexec_load failed", "kexec_file_load failed"),
        "Loading a kernel for kexec was refused",
        "kexec_load is always refused under lockdown; kexec -s (kexec_file_load) works with a"
        " signed image.",
        ("kexec",),
    ),
    Complaint(
        ("sleep verb", "not enough swap space for hibernation", "hibernation is not supported"),
        "Hibernation is not offered",
        "Lockdown takes it away; so do missing swap, a missing resume= and secret memory in use.",
        ("hibernation",),
    ),
    Complaint(
        ("operation not permitted", "eperm", "errno 1", "errno=1"),
        "EPERM: lockdown, or one of a dozen other causes",
        "Lockdown leaves a line with the program's name in the kernel log, unless the rate limit"
        " (10 in 5 seconds) or an old kernel (once per boot) swallowed it. Without such a line"
        " look at capabilities, seccomp, user namespaces and file attributes.",
        ("module_signature", "dev_mem", "kexec", "ioport", "msr", "debugfs", "kprobes", "bpf"),
    ),
    Complaint(
        ("permission denied", "eacces", "errno 13", "errno=13"),
        "EACCES: not lockdown itself",
        "Lockdown answers EPERM or EINVAL. EACCES comes from file modes, from perf_event_paranoid"
        " or from SELinux, whose own lockdown class existed from 5.6 to 5.15.",
    ),
    Complaint(
        ("invalid argument", "einval", "errno 22", "errno=22"),
        "EINVAL: lockdown only where a BPF program was loaded",
        "A locked kernel answers EINVAL where a BPF program uses a helper it took away; the"
        ' verifier\'s log then says "unknown func" or "cannot use helper".',
        ("bpf_read_kernel", "bpf_write_user"),
    ),
)


def complaint(text: str) -> Complaint | None:
    """Find the row for what a program printed; the more telling ones come first."""
    low = text.lower()
    return next((row for row in COMPLAINTS if any(part in low for part in row.says)), None)
