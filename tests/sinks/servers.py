"""Real receivers as children of the test: started on a free port of loopback, ended by their pid.

Tenzir (a wheel) is a HEC, an OpenSearch `_bulk`, an OTLP and a syslog receiver, and has Fluent Bit
inside; rsyslogd comes from the system. Both write what they got as NDJSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.parts import missing
from tests.pki import Pki

STARTS_S = 30
ARRIVES_S = 20


class Server:
    """One receiver process; `rows` is what it wrote so far, over all its lives."""

    def __init__(self, command: list[str], folder: Path, output: Path | None = None) -> None:
        self._command = command
        self._log = folder / "stderr"
        self._stdout = folder / "stdout"
        self._output = output or self._stdout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, listens: Callable[[], bool]) -> Self:
        """Start, or start again, and wait until it listens."""
        with self._stdout.open("ab") as out, self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=log)
        until(lambda: self.alive() and listens(), STARTS_S, self.complaint)
        return self

    def stop(self) -> None:
        """End it and wait for its end; what it had taken is written then."""
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """It neither reads nor answers, but its kernel still does."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def alive(self) -> bool:
        """It runs; if it ended by itself, the test ends with what it said."""
        assert self._process
        assert self._process.poll() is None, self.complaint()
        return True

    def complaint(self) -> str:
        """What it said on stderr."""
        return self._log.read_text(errors="replace")

    def rows(self) -> list[dict[str, Any]]:
        """What it wrote, as far as lines are whole."""
        if not self._output.exists():
            return []
        text = self._output.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line]

    def count(self) -> int:
        """How many whole lines it wrote."""
        return self._output.read_bytes().count(b"\n") if self._output.exists() else 0


def tenzir(pipeline: str, folder: Path) -> Server:
    """Tenzir with a pipeline."""
    beside = Path(sys.executable).with_name("tenzir")
    program = str(beside) if beside.exists() else shutil.which("tenzir")
    if program is None:
        missing("tenzir (pip install --group siem)")
    return Server([program, "--bare-mode", pipeline], folder)


RSYSLOG = """\
global(workDirectory="{folder}" maxMessageSize="64k" processInternalMessages="on"
       net.enableDNS="off" parser.escapeControlCharactersOnReceive="off" {tls})
template(name="json" type="list" option.jsonf="on") {{
    property(outname="msg" name="msg" format="jsonf")
    property(outname="sd" name="structured-data" format="jsonf")
    property(outname="pri" name="pri" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="msgid" name="msgid" format="jsonf")
}}
{input}
if $syslogtag startswith "rsyslogd" then {{
    action(type="omfile" file="{said}")
    stop
}}
action(type="omfile" file="{output}" template="json" flushInterval="1" asyncWriting="off")
"""


def rsyslog(inputs: str, folder: Path, tls: str = "") -> Server:
    """rsyslogd with an input; what it got is a JSON object a line, what it says is in `said`."""
    program = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        missing("rsyslogd (package rsyslog)")
    config, output = folder / "rsyslog.conf", folder / "out"
    said = folder / "said"
    config.write_text(
        RSYSLOG.format(folder=folder, tls=tls, input=inputs, output=output, said=said)
    )
    command = [program, "-n", "-f", str(config), "-i", str(folder / "pid")]
    return Server(command, folder, output)


def rsyslog_tls(driver: str, port: int, folder: Path, pki: Pki) -> Server:
    """rsyslogd with mutual TLS by GnuTLS (gtls) or OpenSSL (ossl)."""
    if not list(Path("/usr/lib").glob(f"**/rsyslog/lmnsd_{driver}.so")):
        missing("rsyslog's TLS drivers (packages rsyslog-gnutls and rsyslog-openssl)")
    certificates = (
        f'DefaultNetstreamDriver="{driver}" DefaultNetstreamDriverCAFile="{pki.ca}"'
        f' DefaultNetstreamDriverCertFile="{pki.server}"'
        f' DefaultNetstreamDriverKeyFile="{pki.server_key}"'
    )
    inputs = (
        f'module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="1"'
        ' StreamDriver.AuthMode="x509/certvalid")\n'
        f'input(type="imtcp" port="{port}" address="127.0.0.1")'
    )
    return rsyslog(inputs, folder, certificates)


def tcp(port: int) -> Callable[[], bool]:
    """Tell whether somebody listens on a port: asked of the kernel, for a connection leaves
    traces, and a TLS server complains of one that says nothing."""
    return lambda: bool(re.search(rf":{port:04X} \S+ 0A ", Path("/proc/net/tcp").read_text()))


def udp(port: int) -> Callable[[], bool]:
    """Tell whether somebody has bound a UDP port."""
    return lambda: f":{port:04X} " in Path("/proc/net/udp").read_text()


def until(
    holds: Callable[[], bool], seconds: float = ARRIVES_S, why: Callable[[], str] = str
) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, why()
        time.sleep(0.05)
