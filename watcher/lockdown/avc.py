"""SELinux denials of the lockdown class (Linux 5.6 to 5.15), in every frame audit gives them."""

from __future__ import annotations

import re
from typing import Final

from watcher.lockdown.denial import known_wording
from watcher.lockdown.finding import CUT, Finding
from watcher.lockdown.reasons import REASONS, Level
from watcher.patterns import late

_LEVELS: Final[dict[str | None, Level]] = {
    "integrity": "integrity",
    "confidentiality": "confidentiality",
}
_AVC: Final = late(
    r"(?:audit: )?(?:node=\S{1,255} )?(?:type=(?:1400|AVC) )?(?:msg=)?(?:audit\([^)]{1,64}\)\s?: )?"
    r"(?:AVC )?avc:\s+denied\s+\{ (?P<level>integrity|confidentiality)(?: confidentiality)? \}"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_AVC_CUT: Final = late(
    r"(?:(?P<level>integrity|confidentiality) \} )?(?:for\s+)?(?P<rest>pid=\d.*)", re.DOTALL
)
_AVC_PID: Final = late(r"\bpid=(\d{1,10})\b")
_AVC_COMM: Final = late(r'\bcomm=(?:"([^"]{0,64})"|([0-9A-F]{2,128})(?=\s)|(.{1,64}?) (?=\w+=))')
_AVC_REASON: Final = late(r'\blockdown_reason=(?:"([^"]{0,80})("?)|([^"=]{1,80})( scontext=))')


def avc(text: str) -> Finding | None:
    """Read an AVC record of the lockdown class, whole or cut."""
    begun = _AVC.fullmatch(text)
    match = begun or _AVC_CUT.fullmatch(text)
    if not match or not _names_lockdown(match["rest"]):
        return None
    rest = match["rest"]
    words, complete = _avc_reason(rest)
    wording = known_wording(words) if words else None
    reason = REASONS[wording.reason] if wording else None
    pid = _AVC_PID.search(rest)
    whole = begun and complete and "tclass=lockdown" in rest
    return Finding(
        kind="selinux.lockdown",
        row="selinux",
        title="SELinux refused a lockdown-class operation"
        + (f" ({reason.what})" if reason else ""),
        meaning="SELinux policy, not lockdown itself, refused this (EACCES); it can happen on a"
        " kernel that is not locked down. The class existed from 5.6 to 5.15.",
        instead="Change the policy (audit2allow, or a fixed policy package), or use 5.16 or later.",
        reason=reason.id if reason else None,
        text=words,
        level=_LEVELS.get(match["level"]),
        lineage="mainline",
        comm=_avc_comm(rest),
        pid=int(pid[1]) if pid else None,
        since="5.6",
        until="5.15",
        read="59438b46471a, f5d0e5e9d72d",
        warnings=() if whole else (CUT,),
    )


def _names_lockdown(rest: str) -> bool:
    return "lockdown_reason=" in rest or "tclass=lockdown" in rest


def _avc_reason(rest: str) -> tuple[str | None, bool]:
    match = _AVC_REASON.search(rest)
    if not match:
        return None, False
    quoted = match[1] is not None
    return (match[1] if quoted else match[3]).rstrip(), bool(match[2] if quoted else match[4])


def _avc_comm(rest: str) -> str | None:
    match = _AVC_COMM.search(rest)
    if not match:
        return None
    coded = match[2]
    if coded and len(coded) % 2 == 0:
        # audit writes names with odd bytes in hex, without quotes (audit_log_untrustedstring).
        return bytes.fromhex(coded).decode(errors="backslashreplace")
    return next(name for name in match.groups() if name is not None)
