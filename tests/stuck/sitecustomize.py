"""Makes reading /dev/kmsg hang while the file $STUCK exists: for what no real device does at will.

Python imports it by itself where PYTHONPATH names this folder; the product knows nothing of it.
"""

import os
import time

_READ_BYTES = 16_384  # kmsg.READ_BYTES: nothing else in the daemon reads so much at once
_real_read = os.read


def _read(fd: int, length: int, /) -> bytes:
    while length == _READ_BYTES and os.path.exists(os.environ["STUCK"]):  # noqa: PTH110
        time.sleep(0.05)
    return _real_read(fd, length)


os.read = _read
