"""A real browser without a window: headless Chromium over its own debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.parts import missing


class Page:
    """One page. What it complained of is in `errors`, what it asked for in `requests`."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers, self._rest = orders, answers, b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Do one thing and give its answer; events that come before it are taken note of."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said
                answer: dict[str, Any] = said["result"]
                return answer
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, said: dict[str, Any]) -> None:
        what = said.get("method")
        if what == "Network.requestWillBeSent":
            self.requests.append(said["params"]["request"]["url"])
        elif what in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.errors.append(json.dumps(said["params"]))

    def show(self, file: Path, width: int, scheme: str, medium: str = "screen") -> None:
        """Load a file at a width, in a colour scheme, and wait until all is drawn."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=file.as_uri())
        while self.ask("document.readyState") != "complete":
            pass

    def ask(self, expression: str) -> Any:
        """Give what an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def picture(self, file: Path) -> None:
        """Save the whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        """Save it as it would be printed, a PDF."""
        printed = self.call("Page.printToPDF", printBackground=True)
        file.write_bytes(base64.b64decode(printed["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Give a page of a browser that is gone afterwards."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("chromium")
    # It reads orders from its descriptor 3 and answers on 4 (--remote-debugging-pipe).
    orders_out, orders_in = os.pipe()
    answers_out, answers_in = os.pipe()
    command = [
        "bash", "-c", f'exec "$@" 3<&{orders_out} 4>&{answers_in}', "bash", program, "--headless",
        "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}",
    ]  # fmt: skip
    running = subprocess.Popen(
        command, pass_fds=(orders_out, answers_in), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(orders_out)
    os.close(answers_in)
    try:
        yield Page(orders_in, answers_out)
    finally:
        os.close(orders_in)
        os.close(answers_out)
        running.terminate()
        running.wait(10)
