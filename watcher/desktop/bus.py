"""org.freedesktop.Notifications over the session's bus (Desktop Notifications Specification 1.3).

Nothing here waits for an answer: calls go out, and `heard` gives what has come. jeepney is pure
Python, in bookworm and in trixie, and does no I/O of its own where that is not wanted.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from watcher.errors import UsageError, WatcherError

NAME: Final = "org.freedesktop.Notifications"
_PATH: Final = "/org/freedesktop/Notifications"
_BUS: Final = "org.freedesktop.DBus"
_REACH_S: Final = 5.0
"""How long the bus may take to greet us."""

Answer = Callable[[tuple[Any, ...] | None], None]
"""Takes what a reply holds, or None where the call failed."""


@dataclass(frozen=True)
class Server:
    """A server came (its unique name) or went (None)."""

    owner: str | None


@dataclass(frozen=True)
class Closed:
    """A note is gone: `seen` if a person closed it."""

    id: int
    seen: bool


@dataclass(frozen=True)
class Pressed:
    """A person chose an action of a note."""

    id: int
    action: str


class Bus:
    """The session's bus. Raises WatcherError where it cannot be reached or went away."""

    def __init__(self) -> None:
        try:
            import jeepney
            from jeepney.io.blocking import DBusConnection, prep_socket
        except ImportError:
            raise UsageError(
                "notify needs jeepney: pip install 'lockdown-watcher[desktop]'"
            ) from None

        self._jeepney = jeepney
        self._answers: dict[int, Answer] = {}
        self._owner: str | None = None
        address = _address()
        try:
            bus = jeepney.bus.get_bus(address)
            self._connection = DBusConnection(prep_socket(bus, timeout=_REACH_S))
        except (OSError, ValueError, RuntimeError, StopIteration) as error:
            raise WatcherError(f"the session bus cannot be reached ({address}): {error}") from error
        self._listen()

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when there is something to hear."""
        return int(self._connection.sock.fileno())

    def close(self) -> None:
        """Leave the bus."""
        self._connection.close()

    def _listen(self) -> None:
        rules = (
            f"type='signal',sender='{NAME}',path='{_PATH}',interface='{NAME}'",
            f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{NAME}'",
        )
        for rule in rules:
            self._ask(_BUS, "AddMatch", "s", (rule,))
        self._ask(_BUS, "GetNameOwner", "s", (NAME,), self._owned)

    def _owned(self, owner: tuple[Any, ...] | None) -> None:
        self._owner = owner[0] if owner else None

    def tell(self, title: str, body: str, within_s: float) -> bool:
        """Show one note and wait until the server has taken it; tell whether it has."""
        answers: list[tuple[Any, ...] | None] = []
        self.show(0, (title, escape(body, quote=False)), [], 1, answers.append)
        end_s = time.monotonic() + within_s
        while not answers and (left := end_s - time.monotonic()) > 0:
            select.select([self], [], [], left)
            for _ in self.heard():
                pass
        return any(answers)

    # --- calls

    def capabilities(self, then: Answer, *, start: bool) -> None:
        """Ask what the server can do; `start` one that is not running, if the bus knows how."""
        self._ask(NAME, "GetCapabilities", "", (), then, start=start)

    def about(self, then: Answer) -> None:
        """Ask the server its name, maker, version and version of the specification."""
        self._ask(NAME, "GetServerInformation", "", (), then, start=False)

    def show(self, replaces: int, texts: tuple[str, str], actions: list[str], urgency: int,
             then: Answer) -> None:  # fmt: skip
        """Show a note, or another text in the one of that number; `then` is told the number."""
        icon = "dialog-error" if urgency > 1 else "dialog-warning"
        hints = {"urgency": ("y", urgency), "category": ("s", "device.error")}
        body = ("lockdown-watcher", replaces, icon, *texts, actions, hints, -1)
        self._ask(NAME, "Notify", "susssasa{sv}i", body, then, start=False)

    def take_away(self, number: int) -> None:
        """Remove a note, which is not there any more or is."""
        self._ask(NAME, "CloseNotification", "u", (number,), start=False)

    def _ask(  # noqa: PLR0913 - what a call has
        self, name: str, member: str, signature: str, body: tuple[Any, ...],
        then: Answer | None = None, *, start: bool = True,
    ) -> None:  # fmt: skip
        path = "/org/freedesktop/DBus" if name == _BUS else _PATH
        address = self._jeepney.DBusAddress(path, bus_name=name, interface=name)
        message = self._jeepney.new_method_call(address, member, signature or None, body)
        if not start:
            message.header.flags |= self._jeepney.MessageFlag.no_auto_start
        serial = next(self._connection.outgoing_serial)
        if then:
            self._answers[serial] = then
        try:
            self._connection.send(message, serial=serial)
        except OSError as error:
            raise _gone(error) from error

    # --- what comes

    def heard(self) -> Iterator[Server | Closed | Pressed]:
        """Give all that has come, answered calls first told to whoever asked; never waits."""
        while True:
            try:
                message = self._connection.receive(timeout=0)
            except TimeoutError:
                return
            except (OSError, EOFError) as error:
                raise _gone(error) from error
            kind, kinds = message.header.message_type, self._jeepney.MessageType
            if kind in (kinds.method_return, kinds.error):
                yield from self._answered(message, failed=kind is kinds.error)
            elif kind is kinds.signal:
                yield from self._signal(message)

    def _answered(self, message: Any, *, failed: bool) -> Iterator[Server]:
        fields = self._jeepney.HeaderFields
        then = self._answers.pop(message.header.fields.get(fields.reply_serial, 0), None)
        if then is None:
            return
        try:
            then(message.body if message.body and not failed else None)
        except (TypeError, ValueError):  # no server of this spec: as if it had refused
            then(None)
        if then == self._owned and self._owner:
            yield Server(self._owner)

    def _signal(self, message: Any) -> Iterator[Server | Closed | Pressed]:
        with contextlib.suppress(IndexError, TypeError, ValueError):  # no server of this spec
            yield from self._meant(message)

    def _meant(self, message: Any) -> Iterator[Server | Closed | Pressed]:
        names = self._jeepney.HeaderFields
        fields, body = message.header.fields, message.body
        sender, member = fields.get(names.sender), fields.get(names.member)
        if sender == _BUS and member == "NameOwnerChanged" and body[0] == NAME:
            self._owner = body[2] or None
            yield Server(self._owner)
        elif sender == self._owner and member == "NotificationClosed":
            yield Closed(int(body[0]), int(body[1]) == _DISMISSED)
        elif sender == self._owner and member == "ActionInvoked":
            yield Pressed(int(body[0]), str(body[1]))


_DISMISSED: Final = 2
"""NotificationClosed's reasons: 1 expired, 2 dismissed by the user, 3 by a call, 4 undefined."""


def _address() -> str:
    if given := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return given
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return f"unix:path={runtime}/bus"
    raise WatcherError("there is no session bus here: run it inside a desktop session")


def _gone(error: Exception) -> WatcherError:
    return WatcherError(f"the session bus went away: {error}")
