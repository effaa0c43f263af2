"""What the frames of log lines look like, program by program; `frames` peels them off."""

from __future__ import annotations

import re
from typing import Final

from watcher.patterns import late

# --- what terminals and web pages do to the signs of a line

ANSI: Final = late(
    r"(?:\x1b|\^\[|\u241b)\[[0-9:;<=>?]{0,32}[ -/]{0,4}[@-~]"
    r"|\x1b[\]_][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[78=>c-eM]"
)
# A terminal's copy loses the escape character and keeps the rest: "[32m[    0.0] [0m".
ORPHANED: Final = late(r"\[(?:\d{1,3}(?:;\d{1,3}){0,4})?m")
ORPHANED_FIRST: Final = late(rf"[^\[]{{0,256}}{ORPHANED.pattern}\[[ \d+<A-Z]")
ENTITY: Final = late(r"&(?:nbsp|quot|apos|lt|gt|amp|#\d{2,3}|#[xX][0-9A-Fa-f]{2});")
_NAMED_SIGNS: Final = {"nbsp": " ", "quot": '"', "apos": "'", "lt": "<", "gt": ">", "amp": "&"}
_NO_BREAK: Final = 160


def plain(line: str) -> str:
    """Give a line without colour codes, HTML entities and no-break spaces.

    Only printable ASCII comes of an entity, so that it ends no line.
    """
    if "\x1b" in line or "^[" in line or "\u241b" in line:
        line = ANSI.sub("", line)
    elif "m[" in line and ORPHANED_FIRST.match(line):
        line = ORPHANED.sub("", line)
    return _as_written(line)


def _as_written(text: str) -> str:
    """Give text with the blanks and signs it had before a web page showed it."""
    if "&" in text:
        text = ENTITY.sub(_sign, text)
    return text.replace("\xa0", " ") if "\xa0" in text else text


def _sign(entity: re.Match[str]) -> str:
    name = entity[0][1:-1]
    if not name.startswith("#"):
        return _NAMED_SIGNS[name]
    code = int("0" + name[1:], 16) if name[1] in "xX" else int(name[1:])
    if code == _NO_BREAK:
        return " "
    return chr(code) if " " <= chr(code) <= "~" else entity[0]


_ENTITY_BYTES: Final = late(ENTITY.pattern.encode("ascii"))
_NO_BREAK_BYTES: Final = "\xa0".encode()


def has_odd_signs(raw: bytes) -> bool:
    """Tell whether words in `raw` may be hidden by no-break spaces and HTML entities."""
    # One byte is found ten times as fast as two.
    if b"\xa0" in raw and _NO_BREAK_BYTES in raw:
        return True
    return b"&" in raw and _ENTITY_BYTES.search(raw) is not None


def without_odd_signs(raw: bytes) -> bytes:
    """Give `raw` with the blanks and signs it had before."""
    text = _as_written(raw.decode("utf-8", "surrogateescape"))
    return text.encode("utf-8", "surrogateescape")


_NAME: Final = late(r"Lockdown: (.{0,15}): (.*)", re.DOTALL)
_NAME_BYTES: Final = 15


def only_in_name(text: str) -> bool:
    """Tell whether a denial is plain but for the process name, which may hold any such sign."""
    match = _NAME.match(text)
    if not match or len(match[1].encode(errors="replace")) > _NAME_BYTES:
        return False
    return plain(match[2]) == match[2] and " is restricted" in match[2]


# --- the patterns, by what they begin with

SPACE: Final = late(r"[\s\0\u200b\u200e\u200f\u2060\ufeff]+")
# A whole text of the kernel's, for frames that could as well be words before a message.
WHOLE: Final = r"(?:Lockdown: |Kernel is locked down)"
# Nicknames in chats look like tags, so tags must be known by name.
TAG: Final = (
    r"</?(?:b|i|u|em|strong|code|pre|p|li|ul|ol|td|th|tr|table|span|div|br|font|a|tt|kbd"
    r"|blockquote|samp|h[1-6])(?:\s[^<>]{0,200})?/?>|<(?:timestamp|time|date|host|hostname)>"
)
# Marks that prose has too: headings, lists, tables, links; and those that only a quoted log has.
PROSE: Final = r"(?P<prose>\|{1,2}(?=\s|\|)|#{1,6}\s|\*{1,3}|[\u2022\u00b7-]\s)"
PROSE_TAG: Final = late(r"(?i:</?(?:a|b|i|u|em|strong|font|p|li|ul|ol|t[dhr]|table|h[1-6])\b)")
QUOTED: Final = r"code|pre|samp|tt|kbd"
MARK: Final = late(
    rf">+|##\[[a-z]{{1,16}}\]|[+\-\"'](?=\[ *\d|{WHOLE})|{PROSE}"
    r"|<t[dh](?:\s[^<>]{0,100})?>\s{0,4}\d{1,9}\s{0,4}(?=</t[dh]>)"
    rf"|(?P<quoted>`{{1,3}}|(?i:<(?:{QUOTED})(?:\s[^<>]{{0,200}})?>)|\[(?:code|quote|pre|noformat)\]"
    rf"|\{{(?:code|noformat|quote)(?::[^{{}}]{{0,64}})?\}})|(?P<tag>(?i:{TAG}))"
)
# Words so short that prose has them under such a mark: the news of 2020, a manual's table.
SHORT: Final = late(
    r"Lifting lockdown|Secure boot (?:mode )?(?:enabled|disabled|could not be determined)"
    r"|(?:sysrq: )?(?:SysRq : )?Disabling Secure Boot restrictions|Invalid lockdown reason"
    r"|(?:[Ll]oading of )?(?:unsigned|untrusted) modules? is rejected\.?"
    r"|UEFI Secure Boot is (?:en|dis)abled\.|(?:WARNING: )?Unprivileged eBPF is enabled"
    r"|This sysrq operation is disabled from userspace\.|Tracing disabled due to lockdown"
)
FACILITIES: Final = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "audit",
    "alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]
LEVELS: Final = {
    "emerg": 0,
    "panic": 0,
    "alert": 1,
    "crit": 2,
    "err": 3,
    "error": 3,
    "warn": 4,
    "warning": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}
ANY_FACILITY: Final = "|".join(sorted(FACILITIES, key=len, reverse=True))
ANY_LEVEL: Final = "|".join(sorted(LEVELS, key=len, reverse=True))
FACILITY: Final = rf"(?P<facility>{ANY_FACILITY})"
LEVEL: Final = rf"(?P<level>{ANY_LEVEL})"
HOST: Final = (
    rf"(?!(?:{ANY_FACILITY})\.(?:{ANY_LEVEL}) )"  # "kern.notice kernel: " has no host
    r"(?P<host>\(none\)|[^\s\[\](){}<>:|\"',;=][^\s\[\](){}<>|\"',;=]{0,254}(?<!:))"
)

# What the kernel says of a process it names first: 15 bytes of the process's own choice.
NAME_FIRST: Final = " is installing a program with bpf_probe_write_user"
NAMED_HERE: Final = late(rf"(?:\\x[0-9a-f]{{2}}|.){{0,15}}\[\d{{1,10}}\]{NAME_FIRST}", re.DOTALL)
PRINTK_TIME: Final = late(r"\[ {0,4}\d{1,12}\.\d{6}\]")
PRINTK_CALLER: Final = late(r"(?:(?<=\])|(?=\[[^\]]{6,16}\]))\[ {0,12}[TC]\d{1,10}\]")

# dmesg -x ("%-6s:%-6s: "), and Talos, which puts a node before it and a date after it.
DECODED: Final = late(
    rf"(?:(?P<host>[^\s\[\]]{{1,255}}): {{1,4}}(?=\w+ {{0,6}}: {{0,6}}\w+ {{0,6}}: \[\d{{4}}-))?"
    rf"{FACILITY} {{0,6}}: {{0,6}}{LEVEL} {{0,6}}:(?:\s|$)"
)
KERNEL: Final = late(
    rf"(?:{HOST}[ \t]{{1,4}})?"
    rf"(?:<?{FACILITY}\.{LEVEL}>? (?:(?P<host2>[^\s\[\]<>]{{1,255}}(?<!:)) )?)?"
    r"kernel(?:\[(?P<pid>\d{1,10})\])?:(?= |\[|$|(?:Lockdown|Kernel|Lifting|Secure)\b)"
)
# Only what the audit system itself says; any program may call itself audit.
AUDIT_SAYS: Final = late(r"AVC avc:|avc: |(?:node=\S{1,255} )?type=AVC ")
AUDIT: Final = late(
    rf"(?:{HOST} )?(?:audit|audispd|audisp-syslog)(?:\[\d{{1,10}}\])?: (?={AUDIT_SAYS.pattern})"
)
AUDIT_RECORD: Final = late(
    r"(?:node=(?P<host>\S{1,255}) )?(?:(?P<daemon>type=AVC )|(?:audit: )?type=1400 )"
    r"(?:msg=)?audit\((?:(?P<seconds>\d{9,11})\.(?P<fraction>\d{3}):\d{1,20}\))?"
)
PROGRAM: Final = late(
    rf"(?:{HOST} )?(?P<program>[^\s\[\]:]{{1,255}})(?:\[(?P<pid>\d{{1,10}})\])?:(?= |$)"
)
PRI: Final = late(r"<(\d{1,4})>")
SOCKLOG: Final = late(rf"(?P<facility>kern)\.{LEVEL}: ")
METALOG: Final = late(r"\[kernel\] ")
COUNT: Final = late(r"\d{1,5} (?=<\d{1,3}>1 )")  # RFC 6587
RFC5424: Final = late(
    r"1 (?P<stamp>-|\d{4}-\d\d-\d\dT\S{1,32}) (?P<host>\S{1,255}) (?P<program>\S{1,48})"
    r" (?P<pid>\S{1,128}) \S{1,32} (?:-|(?:\[[^\s\]=\"]{1,64}"
    r"(?: [^\s\]=\"]{1,64}=\"(?>(?:[^\"\\]|\\.){0,4096})\"){0,64}\]){1,16})(?: \ufeff?|$)"
)
# With a release before it: netconsole, extended.
KMSG: Final = late(r"(?:\d{1,3}\.\d[^\s,;]{0,64},)?(\d{1,4}),(\d{1,20}),(\d{1,20}),[^;\n]{0,256};")
# dmesg, also with --show-delta; journalctl short-monotonic and short-delta.
MONOTONIC: Final = late(
    r"\[ {0,16}(?P<seconds>\d{1,12})\.(?P<fraction>\d{1,9})"
    r"(?: {1,24}| <[ -]{0,16}[\d.]{1,24}[ *]?>|,\d{1,3})?\]:?"
)
DELTA: Final = late(r"\[<?[ +-]{0,16}\d{1,12}\.\d{1,9}[ *]?>?\]")
CALLER: Final = late(r"\[ {0,12}[TC]\d{1,10}(?::[TC]\d{1,10})?\]")
CLOSE: Final = late(r"(?: <[ -]{0,16}[\d.]{1,24}>)?\]:?(?=\s|$|\[ {0,12}[TC\d]|" + WHOLE + ")")
POD: Final = late(r"\[pod/[^\]\s]{1,300}\] ")
COMPOSE: Final = late(r"[\w.@-]{1,128} {1,64}\|(?=\s|$)")
BUILDKIT: Final = late(r"#\d{1,6} \d{1,7}\.\d{1,3} (?=<\d|\[ *\d)")
AFTER_ISO: Final = late(r" (?:(?:stdout|stderr) [FP](?= )|\d\d[OE](?:\+|(?= |$)))")
# grep -n, grep -H and cat -n on a saved log: "boot.log:12:[    0.0] ", "  12  [    0.0] ".
NEXT: Final = (
    rf"\[ *\d|<\d|\d{{4}}-\d\d-\d\d[T ]|{WHOLE}|\[[^\s\d\[\]]{{2,8}} [^\s\d\[\]]{{2,8}} {{1,2}}\d"
    r"|[^\W\d_][^\s:<>|\[\]]{1,15} [ \d]\d \d\d:|\d{1,4},\d{1,20},\d{1,20},"
    rf"|(?:{ANY_FACILITY}) {{0,6}}: {{0,6}}(?:{ANY_LEVEL}) {{0,6}}:|type=AVC "
)
GREP: Final = late(
    r"(?:[^\s:\[\]<>|]{1,255}:)?(?:\d{1,9}[:-])?(?<=[:-])(?=\[ *\d|<\d|[A-Z][a-z]{2} [ \d]\d )"
    r"|\d{1,9}[.)]?[ \t]{1,4}(?=`{0,3}\[ *\d)|L\d{1,9}: (?=\[ *\d)"
    r"|[A-Za-z]:\\[^\s:\[\]<>|]{1,255}:(?:\d{1,9}:)?(?=\[ *\d|<\d|[A-Z][a-z]{2} [ \d]\d )"
    r"|(?:\(standard input\)[:-]|(?=[^\s:]{0,255}[./])[^\s:\[\]<>|]{1,255}[:-])?(?:\d{1,9}[:-])?"
    rf"(?<=[:-])(?={NEXT})"
)
# What stands on a console or a serial line before the kernel writes on.
PROMPT: Final = late(
    r"(?:[\w.-]{1,64} login: ?|[^\s\[\]<>|\"']{0,64} ?[#$%>] |\(initramfs\) |:"
    r"|\[ {0,4}[A-Z]{2,8} {0,4}\] [^\[\n]{1,256})(?=(?:<\d{1,3}>)?\[ {0,8}\d{1,8}\.\d{1,9}\] )"
)
REPEATED: Final = late(r"message repeated (\d{1,9}) times: \[ ?")
GH_RUN: Final = late(r"[^\t]{1,120}\t[^\t]{1,120}\t(?=\ufeff?\d{4}-)")
CLOSING_MARK: Final = late(
    r"\[/(?:code|quote|pre|noformat)\]|\{(?:code|noformat|quote)\}|(?<=[\"']),"
)
CLOSING_TAG: Final = late(r"</[A-Za-z][^<>]{0,30}>|<(?:br|p|hr)\s?/?>", re.IGNORECASE)
# ChromeOS and others write the level where the host stands elsewhere.
LEVEL_WORDS: Final = {name.upper(): level for name, level in LEVELS.items()}
