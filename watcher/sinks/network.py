"""What every sink on the network shares: TLS, credentials, and one deadline per delivery."""

from __future__ import annotations

import errno
import os
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from watcher.errors import UsageError
from watcher.sinks.sink import SinkOptions

_LONGEST_SECRET: Final = 65_536
_TLS_FILES: Final = ("ca_file", "cert_file", "key_file")


def address_parts(address: str) -> SplitResult:
    """Take an address apart. Raises ValueError, which quotes nothing of it."""
    try:
        parts = urlsplit(address)
        port = parts.port
        (parts.hostname or "").encode("idna")  # an empty label, or one beyond 63 bytes
    except ValueError:
        raise ValueError("is no address") from None  # the library's words quote the address
    if port == 0:
        raise ValueError("port 0 is no port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a password: credentials come from files")
    return parts


def _credential(file: str) -> str:
    """Somebody may paste the secret here: then it is not quoted."""
    if not file.startswith("/") and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", file):
        raise ValueError("must be a whole path, or the name of a systemd credential")
    return file


CredentialFile = Annotated[str, AfterValidator(_credential)]


def shown(file: str) -> str:
    """Give a file as it may be told: what is long and no path may be a secret, pasted there.

    A UUID, as Splunk's tokens are, has 36 characters.
    """
    return file if "/" in file or len(file) < 32 else "***"  # noqa: PLR2004


class NetworkOptions(SinkOptions):
    """What every sink on the network is told; whom TLS trusts, and who we are to the receiver."""

    timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=10.0, description="seconds for one delivery, from connecting to the answer"
    )
    ca_file: str | None = Field(
        default=None, description="certificates to trust (PEM); by default the system's"
    )
    cert_file: str | None = Field(default=None, description="our own certificate (PEM)")
    key_file: str | None = Field(
        default=None, description="its private key (PEM), if cert_file does not hold it"
    )

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> NetworkOptions:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self


def tls_context(options: NetworkOptions) -> ssl.SSLContext:
    """Give a context that verifies the receiver and shows our certificate, if we have one.

    Raises UsageError if a file cannot be read or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ValueError) as error:
        raise UsageError(f"ca_file {options.ca_file}: {reason_of(error)}") from None
    if options.cert_file:
        try:
            # An encrypted key would make OpenSSL ask on a terminal that a daemon has not.
            context.load_cert_chain(options.cert_file, options.key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            files = " and ".join(filter(None, (options.cert_file, options.key_file)))
            raise UsageError(f"cert_file, key_file ({files}): {reason_of(error)}") from None
    return context


def reason_of(error: BaseException) -> str:
    """Say in few words what an operating system's, OpenSSL's or other error is about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (see ca_file)"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.errno == errno.EAFNOSUPPORT:
        return f"{error.strerror}: the service has no network, see lockdown-watcher units network"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


def unusable(options: SinkOptions) -> Iterator[tuple[str, UsageError]]:
    """Give each option whose file is not what it should be, and why.

    A credential that only the service has is none of them.
    """
    if isinstance(options, NetworkOptions):
        try:
            tls_context(options)
        except UsageError as error:
            yield "cert_file" if str(error).startswith("cert_file") else "ca_file", error
    for option, file in options:
        if option.endswith("_file") and option not in _TLS_FILES and file:
            try:
                Credential(file, lines=option == "urls_file")
            except NoCredentialsError:
                pass
            except UsageError as error:
                yield option, error


class NoCredentialsError(UsageError):
    """A credential of the service was asked for, and this is not the service."""


class Credential:
    """A secret in a file. It is read anew for each delivery, so that it may be replaced."""

    def __init__(self, file: str, *, lines: bool = False) -> None:
        """Take a path; a bare name is one of systemd's credentials. `lines`: it may hold many.

        Raises UsageError if there is no such file or no secret in it, NoCredentialsError for a bare
        name where systemd gave none.
        """
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if "/" not in file and directory is None:
            raise NoCredentialsError(
                f"{shown(file)}: a name without / is a systemd credential, and there is no"
                " $CREDENTIALS_DIRECTORY here; give the whole path, or LoadCredential= in the unit"
            )
        self.path = Path(directory or "") / file
        self._shown = str(self.path.with_name(shown(file)) if "/" not in file else self.path)
        try:
            (self.lines if lines else self.read)()
        except OSError as error:
            raise UsageError(f"{self._shown}: {reason_of(error)}") from None

    def read(self) -> str:
        """Give the secret without the newline at its end. Raises OSError."""
        with self.path.open("rb") as stream:
            secret = stream.read(_LONGEST_SECRET).rstrip(b"\r\n")
        # What is no plain text would come back in the HTTP library's complaint about it.
        if not secret or not secret.isascii() or not secret.decode().isprintable():
            raise OSError(f"{self._shown} must hold one line of printable ASCII")
        return secret.decode()

    def lines(self) -> list[str]:
        """Give each line that is neither empty nor begins with #. Raises OSError."""
        with self.path.open("rb") as stream:
            text = stream.read(_LONGEST_SECRET).decode(errors="replace")
        found = [line.strip() for line in text.splitlines()]
        secrets = [line for line in found if line and not line.startswith("#")]
        if not secrets or not all(each.isascii() and each.isprintable() for each in secrets):
            raise OSError(f"{self._shown} must hold lines of printable ASCII")
        return secrets

    def __repr__(self) -> str:
        return f"Credential({self._shown!r})"


class Deadline:
    """The moment by which a delivery must have ended."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds left. Raises TimeoutError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the deadline."""
        time.sleep(max(0.0, min(seconds, self._end - time.monotonic())))

    @property
    def over(self) -> bool:
        """Tell whether no time is left."""
        return time.monotonic() >= self._end
