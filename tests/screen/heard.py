"""Who listens on the session bus: a monitor of all notes, and a server as simple as may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jeepney
from jeepney.bus_messages import Monitoring
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket
from jeepney.low_level import Message

NAME: Final = "org.freedesktop.Notifications"


@dataclass(frozen=True)
class Shown:
    """One call of Notify, as it went over the bus; `at_s` on the monotonic clock."""

    at_s: float
    replaces: int
    title: str
    body: str
    actions: list[str]
    urgency: int


def _shown(message: Message) -> Shown:
    _app, replaces, _icon, title, body, actions, hints, _timeout = message.body
    return Shown(time.monotonic(), replaces, title, body, actions, hints["urgency"][1])


def connected(address: str) -> DBusConnection:
    """A connection to a bus."""
    return DBusConnection(prep_socket(jeepney.bus.get_bus(address)))


def calls_to(connection: DBusConnection) -> Iterator[Message]:
    """Give each method call that comes, until the bus is gone or left."""
    while True:
        try:
            message = connection.receive()
        except OSError:
            connection.close()
            return
        if message.header.message_type is jeepney.MessageType.method_call:
            yield message


class Monitor:
    """Hears every Notify on a bus, in a thread of its own."""

    def __init__(self, address: str) -> None:
        self._connection = connected(address)
        self.calls: list[Shown] = []
        rules = [f"type='method_call',interface='{NAME}',member='Notify'"]
        Proxy(Monitoring(), self._connection).BecomeMonitor(rules)
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        for message in calls_to(self._connection):
            self.calls.append(_shown(message))


class Plain:
    """A server that can do no more than `can`, and shows nothing."""

    def __init__(self, address: str, can: Sequence[str] = ("body",)) -> None:
        self._connection = connected(address)
        self._can, self._last = list(can), 0
        self.refuses = self.babbles = False
        bus = Proxy(jeepney.bus_messages.message_bus, self._connection)
        bus.RequestName(NAME)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Leave the bus."""
        self._connection.sock.shutdown(2)

    def _serve(self) -> None:
        for message in calls_to(self._connection):
            self._connection.send(self._answer(message))

    def _answer(self, message: Message) -> Message:
        member = message.header.fields[jeepney.HeaderFields.member]
        if self.refuses and member == "Notify":
            return jeepney.new_error(message, f"{NAME}.Error.Full", "s", ("no more",))
        if self.babbles:
            return jeepney.new_method_return(message, "s", ("what?",))
        answers: dict[str, tuple[str, tuple[Any, ...]]] = {
            "GetCapabilities": ("as", (self._can,)),
            "GetServerInformation": ("ssss", ("plain", "tests", "1", "1.2")),
            "Notify": ("u", (self._number(message),)),
        }
        return jeepney.new_method_return(message, *answers[member])

    def _number(self, message: Message) -> int:
        if message.body and message.body[1]:
            return int(message.body[1])
        self._last += 1
        return self._last
