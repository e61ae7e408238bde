"""E-mail and IP addresses."""

import re
import string
from collections.abc import Iterator

from core.pii_context import is_version
from core.pii_kinds import Hit, Text

# ASCII only, so that a name ends where the particle begins: kim@example.com으로
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}"
_HOST = re.compile(rf"{_DOMAIN}(?![A-Za-z0-9])")
_MAILBOX = f"{string.ascii_letters}{string.digits}_.%+-"
_LONGEST_MAILBOX = 64
_SPELLED = re.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]{1,64} ?(?:[\[(]\s?at\s?[\])]|골뱅이) ?"
    r"(?:[A-Za-z0-9\-]{1,63} ?(?:\.|[\[(]\s?dot\s?[\])]|닷|점) ?){1,4}[A-Za-z]{2,24}(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_FILES = re.compile(r"@\d+x\.|\.(?:png|jpe?g|gif|svg|webp|css|js|ts|py|md|json)$", re.IGNORECASE)
_DOTTED = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d")
_DOTS = 3
_IPV4 = re.compile(r"\d(?<![\dA-Za-z].)(?<!\d\..)\d{0,2}(?:\.\d{1,3}){3}(?!\d)(?!\.\d)")
_OCTET_MOST = 255
# of nobody: unspecified, loopback, masks, broadcast
_NOBODYS = re.compile(r"(?:0|127|255)\.|(?:\d+\.){3}255$")
_IPV6 = re.compile(  # the first group comes first: the search goes from one to the next
    r"[0-9A-Fa-f](?<![A-Za-z0-9:.].)[0-9A-Fa-f]{0,3}:(?:"
    r"(?:[0-9A-Fa-f]{1,4}:){6}[0-9A-Fa-f]{1,4}"
    r"|(?:[0-9A-Fa-f]{1,4}:){0,5}:(?:[0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{1,4}"
    r"|(?:[0-9A-Fa-f]{1,4}:){0,6}:)(?![A-Za-z0-9:])"
)


def emails(text: Text) -> list[Hit]:
    plain = text.plain
    return [
        Hit("email", start, end, True, 3)
        for start, end in _addresses(plain)
        if not _FILES.search(plain, start, end)
        and not (plain.startswith("git@", start) and plain[end : end + 1] == ":")
    ]


def _addresses(plain: str) -> Iterator[tuple[int, int]]:
    """From each @ to where its mailbox begins and its host ends."""
    reached, at = 0, plain.find("@")
    while at >= 0:
        host = _HOST.match(plain, at + 1)
        if host:
            before = plain[max(reached, at - _LONGEST_MAILBOX - 1) : at]
            mailbox = before[len(before.rstrip(_MAILBOX)) :]
            if 1 <= len(mailbox) <= _LONGEST_MAILBOX and mailbox[0] not in ".%+-":
                reached = host.end()
                yield at - len(mailbox), reached
        at = plain.find("@", at + 1)


def spelled_emails(text: Text) -> list[Hit]:
    """As people write them to hide them from machines: kim (at) example.com."""
    lower = text.lower
    if "at)" in lower or "at]" in lower or "골뱅이" in lower:
        return [Hit("email", *match.span(), False, 3) for match in _SPELLED.finditer(text.plain)]
    return []


def ip_addresses(text: Text) -> list[Hit]:
    plain = text.plain
    hits: list[Hit] = []
    dotted = _DOTTED.search(plain) if plain.count(".") >= _DOTS else None
    if dotted:
        for match in _IPV4.finditer(plain, max(0, dotted.start() - 3)):
            if _is_dotted(match[0]) and not _NOBODYS.match(match[0]) and not is_version(text, match.start()):
                hits.append(Hit("ip_address", *match.span(), True, 15))
    if ":" in plain and ("::" in plain or plain.count(":") >= 7):
        for match in _IPV6.finditer(plain):
            if _names_a_machine(match[0]):
                hits.append(Hit("ip_address", *match.span(), True, 15))
    return hits


def _is_dotted(address: str) -> bool:
    return all(octet == "0" or (octet[0] != "0" and int(octet) <= _OCTET_MOST) for octet in address.split("."))


def _names_a_machine(address: str) -> bool:
    """`a::b` and `std::d1` are code: an address has a group of three or four with a digit, or all its groups."""
    groups = [group for group in address.split(":") if group]
    return 2 <= len(groups) <= 8 and any(len(group) >= 3 and re.search(r"\d", group) for group in groups)
