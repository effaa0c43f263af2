"""The tables of config.toml that this folder is told by."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MetricsOptions(_Table):
    """[metrics]: figures for Prometheus, over HTTP."""

    listen: str = Field(
        default="", description='an address and port, "127.0.0.1:9773"; none: no HTTP'
    )
    open_to_network: bool = Field(
        default=False, description="listen may be another address than this machine's own loopback"
    )

    @model_validator(mode="after")
    def _loopback(self) -> MetricsOptions:
        if self.listen and not _is_loopback(self.listen) and not self.open_to_network:
            raise ValueError(
                "listen is not on loopback, and anybody could read what is told there:"
                " open_to_network = true if that is meant"
            )
        return self


class HealthOptions(_Table):
    """[health]: how `lockdown-watcher health` knows that what is logged is read."""

    canary_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=300,
        description="a marked entry goes through the journal and back so often; 0: never, and"
        " that the daemon is alive rests on systemd's watchdog alone",
    )


def _is_loopback(listen: str) -> bool:
    """Tell whether an address with a port is loopback. Raises ValueError if it is none."""
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError('listen must be an IP address and a port, "127.0.0.1:9773"') from None
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 1 << 16):
        raise ValueError("listen needs a port from 1 to 65535")
    return address.is_loopback
