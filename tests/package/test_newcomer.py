"""A newcomer on a bare Debian 12: from the README's first command to the first event."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.cache import scratch
from tests.lab.command import run
from tests.package.chroot import debian, inside
from tests.package.parts import TREE, need
from tests.parts import missing

BARE = "ca-certificates,git,make,python3"
# What lets a chroot reach the same mirrors as this machine does.
NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
SCRIPT = """\
cp -r /mnt/checkout /root/checkout && cd /root/checkout
[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11
echo '<5>Lockdown: newcomer: hibernation is restricted; see man kernel_lockdown.7' >/dev/kmsg
start=$(date +%s%N)
env HOME=/root make run >/tmp/events 2>/tmp/said & make=$!
until [ -s /tmp/events ]; do
    kill -0 $make 2>/dev/null || { tail -5 /tmp/said >&2; exit 1; }
    sleep 0.1
done
echo $((($(date +%s%N) - start) / 1000000))
kill $make; wait $make || true
grep -m 1 newcomer /tmp/events
"""


@pytest.mark.timeout(900)
def test_first_event(record_property: Callable[[str, object], None]) -> None:
    """With git, make and python3 alone, `make run` sets itself up and shows the first event."""
    need("mmdebstrap", "unshare", "git")
    if os.geteuid() != 0:
        missing("root, to make a Debian's root directory")
    with scratch() as here:
        root = here / "root"
        run("cp", "-a", "--reflink=auto", debian("bookworm", BARE), root)
        for file in NETWORK:
            target = root / file.lstrip("/")
            target.unlink(missing_ok=True)
            shutil.copy(Path(file), target)
        ours = ("git", "-c", f"safe.directory={TREE}", "clone", "-q", TREE, here / "checkout")
        run(*ours)
        took, event = inside(root, here, SCRIPT).splitlines()
    assert '"kind":"lockdown.forged"' in event
    record_property("first_event_s", int(took) / 1000)
    print(f"first event after {int(took) / 1000:.1f} s")
