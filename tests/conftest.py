"""What holds for the whole suite."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.parts import missing

if TYPE_CHECKING:
    from tests.pki import Pki

# A machine under load is slow, not wrong.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# A shell hides Ctrl-C from what it starts in the background, and from all that starts there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the bursts last: they wash out of the ring what other tests look for in it."""
    items.sort(key=lambda item: item.path.name == "test_burst.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the tests, each has all those of a machine, in their order.

    Not --dist loadgroup: what it does to a test's id pytest 9.2 does not see.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByMachine(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return machine_of(nodeid)

    return ByMachine(config, log)


def machine_of(nodeid: str) -> str:
    """Give what tests share that share a machine: their file, or there the first parameter."""
    file, _, test = nodeid.partition("::")
    if not file.endswith(("lab/test_why.py", "package/test_deb.py")):
        return file
    return f"{file} {re.split(r'[][-]', test)[1]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what tests have measured (record_property), whichever process they ran in."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of our own for servers and clients on loopback."""
    try:
        from tests.pki import Pki
    except ImportError:
        missing("trustme")
    return Pki(tmp_path_factory.mktemp("pki"))
