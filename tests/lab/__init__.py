"""The lab: real Debian kernels under QEMU, really locked down, really provoked."""
