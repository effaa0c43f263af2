"""The seed's own command: BCC's first program, in a locked guest, under `why --`.

BCC compiles C against the kernel's headers, so guest and headers are of one kernel. It comes as
Debian's packages, unpacked here once and laid over the guest's root, for no other test needs them.
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
FIRST: Final = """
import os
from bcc import BPF
program = BPF(text='int kprobe__sys_clone(void *at) { bpf_trace_printk("cloned\\\\n"); return 0; }')
os.fork() or os._exit(0)  # not os.system: glibc spawns by clone3
print(program.trace_fields()[5])
"""


def bcc(debian: Kernel) -> Path:
    """Give an archive to lay over a guest's root: BCC and the headers of its kernel."""
    home = LAB / "full" / f"bcc-{debian.release}"
    with once(home) as part:
        if part:
            root = part / "root"
            root.mkdir()
            with apt(Suite("bookworm")) as archive:
                archive.unpack(list(PACKAGES), root)
            run("tar", "-C", root, "-czf", part / "bcc.tgz", "usr", "lib")
            run("rm", "-r", root)
            headers = ("usr/src", "usr/lib")
            run("tar", "-C", debian.modules, "-czf", part / "headers.tgz", *headers)
    return home


@pytest.fixture(params=["none", "confidentiality"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullGuest]:
    """A guest that has BCC, unlocked or locked."""
    need_full_lab()
    debian = kernel("bookworm-6.1")
    (tmp_path / "first.py").write_text(FIRST)
    files = {
        file.name: file for file in (*sorted(bcc(debian).glob("*.tgz")), tmp_path / "first.py")
    }
    append = "" if request.param == "none" else f"lockdown={request.param}"
    with FullGuest(debian, tmp_path, append=append, files=files) as running:
        lay_over(running, debian.release)
        yield running


def lay_over(guest: FullGuest, release: str) -> None:
    """Unpack what `bcc` gave, and put the headers where modules, and BCC, look for them."""
    # Debian's /lib is a link, which tar is not to replace by a folder.
    tar = f"tar --keep-directory-symlink -C / -xzf {FILES}"
    guest.sure(f"{tar}/bcc.tgz && {tar}/headers.tgz && ldconfig", 200)
    modules, headers = f"/lib/modules/{release}", f"/usr/src/linux-headers-{release}"
    common = headers.replace("-cloud-amd64", "-common")
    guest.sure(f"mkdir -p {modules} && ln -sfn {headers} {modules}/build")
    guest.sure(f"ln -sfn {common} {modules}/source")


def test_the_first_program(guest: FullGuest) -> None:
    """Unlocked it runs; locked it fails and blames what it would trace, and we say lockdown."""
    locked = bool(json.loads(guest.sure("lockdown-watcher status -o json"))["blocked"])
    program = f"python3 {FILES}/first.py"
    answer = guest.run(f"lockdown-watcher why -o json -- timeout 90 {program}", 120)
    found = json.loads(answer.stderr.splitlines()[-1])
    if not locked:
        assert (answer.status, answer.stdout) == (0, "b'cloned'\n"), answer
        return
    assert "not traceable" in answer.stderr, answer
    assert (answer.status, answer.stdout) == (1, ""), answer
    assert (found["verdict"], found["cause"]) == ("lockdown", "lockdown"), answer
    assert (found["confidence"], found["reason"]) == ("certain", "kprobes"), answer
