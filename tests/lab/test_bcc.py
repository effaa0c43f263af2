"""The seed's own command: BCC's first program, in a locked guest, under `why --`.

BCC compiles C against the kernel's headers, so guest and headers are of one kernel. It comes as
Debian's packages, unpacked here once onto a drive of its own, for no other test needs them, and a
guest takes minutes to unpack them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.lab.apt import Suite, apt
from tests.lab.cache import LAB, once
from tests.lab.command import run
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import Kernel, kernel

pytestmark = pytest.mark.timeout(900)

PACKAGES: Final = (
    "python3-bpfcc", "libbpfcc", "libbpf1", "libllvm14", "libclang-cpp14", "libz3-4", "libedit2",
    "libbsd0", "libmd0", "libxml2", "libicu72", "libelf1", "libtinfo6", "libffi8", "liblzma5",
    "python3-netaddr",
)  # fmt: skip
HERE: Final = "/mnt/bcc"
FOUND: Final = (
    f"PYTHONPATH={HERE}/usr/lib/python3/dist-packages"
    f" LD_LIBRARY_PATH={HERE}/usr/lib/x86_64-linux-gnu:{HERE}/lib/x86_64-linux-gnu"
)
FIRST: Final = """
import os
from bcc import BPF
program = BPF(text='int kprobe__sys_clone(void *at) { bpf_trace_printk("cloned\\\\n"); return 0; }')
os.fork() or os._exit(0)  # not os.system: glibc spawns by clone3
print(program.trace_fields()[5])
"""


def bcc(debian: Kernel) -> Path:
    """Give a drive with BCC and the headers of a kernel."""
    home = LAB / "full" / f"bcc-drive-{debian.release}"
    with once(home) as part:
        if part:
            root = part / "root"
            root.mkdir()
            with apt(Suite("bookworm")) as archive:
                archive.unpack(list(PACKAGES), root)
            for folder in ("src", "lib"):
                run("cp", "-a", "--reflink=auto", debian.modules / "usr" / folder, root / "usr")
            run("mkfs.ext4", "-q", "-m", "0", "-d", root, part / "drive", "1G")
            run("rm", "-r", root)
    return home / "drive"


@pytest.fixture(params=["none", "confidentiality"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullGuest]:
    """A guest that has BCC, unlocked or locked."""
    need_full_lab()
    debian = kernel("bookworm-6.1")
    (tmp_path / "first.py").write_text(FIRST)
    files = {"first.py": tmp_path / "first.py"}
    append = "" if request.param == "none" else f"lockdown={request.param}"
    drives = [bcc(debian)]
    with FullGuest(debian, tmp_path, append=append, files=files, drives=drives) as running:
        put_in_place(running, debian.release)
        yield running


def put_in_place(guest: FullGuest, release: str) -> None:
    """Mount what `bcc` gave, and have the headers where modules, and BCC, look for them."""
    guest.sure(f"mkdir -p {HERE} && mount -o ro /dev/vdc {HERE}")
    modules, headers = f"/lib/modules/{release}", f"{HERE}/usr/src/linux-headers-{release}"
    common = headers.replace("-cloud-amd64", "-common")
    guest.sure(f"mkdir -p {modules} && ln -sfn {headers} {modules}/build")
    guest.sure(f"ln -sfn {common} {modules}/source")


def test_the_first_program(guest: FullGuest) -> None:
    """Unlocked it runs; locked it fails and blames what it would trace, and we say lockdown."""
    locked = bool(json.loads(guest.sure("lockdown-watcher status -o json"))["blocked"])
    program = f"python3 {FILES}/first.py"
    answer = guest.run(f"{FOUND} lockdown-watcher why -o json -- timeout 90 {program}", 120)
    found = json.loads(answer.stderr.splitlines()[-1])
    if not locked:
        assert (answer.status, answer.stdout) == (0, "b'cloned'\n"), answer
        return
    assert "not traceable" in answer.stderr, answer
    assert (answer.status, answer.stdout) == (1, ""), answer
    assert (found["verdict"], found["cause"]) == ("lockdown", "lockdown"), answer
    assert (found["confidence"], found["reason"]) == ("certain", "kprobes"), answer
