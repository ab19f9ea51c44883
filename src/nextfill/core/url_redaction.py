"""Redaction of secrets in addresses, for messages and files.

In a malformed address the end of the password is unknown, so that rather too much is hidden than
too little.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_FROM = r"(?::?//|:/|%2f%2f)"
"""Before the host of an address: one slash, two, or two that are encoded."""
_AT = r"(?:@|%40)"
_ADDRESS = re.compile(r"(?<![\w+.-])\w[\w+.-]*://[^\s'\"<>]+")
_PLACE = re.compile(rf"({_FROM})((?:(?!{_FROM})[^\s'\"<>])+)", re.IGNORECASE)
_USER = re.compile(rf"(.*){_AT}", re.IGNORECASE | re.DOTALL)
_END = re.compile(r"/|%2f|\?|#", re.IGNORECASE)
_PASSWORD = re.compile(r"[^\[:%]*(?::|%3a)(?!\d*[^\w%]*$)", re.IGNORECASE)
"""A user and the beginning of a password: what follows the colon is no port."""
_BROKEN = re.compile(
    rf"({_FROM})(?:[^\s/:@'\"<>\[\]%]+)(?::|%3a)(?!\d+\b)(?=[^/@]*[\s'\"<>])[^/@]{{1,100}}{_AT}",
    re.IGNORECASE,
)
"""A password with a space, a quote or the end of a line in it."""
_PAIR = re.compile(r"(?<![\w./@:%+~-])[\w.+%~-]+:(?!//)[^\s@'\"]{3,}@(?=[\w\[])")
"""User and password without a scheme, as in messages of libraries."""
_WITHOUT_SLASHES = re.compile(
    r"\b((?:https?|s3a?|gcs?|gs|ftp):)[^\s/:@'\"]+:[^\s'\"]*@", re.IGNORECASE
)
_OPENER = re.compile(r"::[\w+.-]*:?$")
"""Before another address within an address: ``zip://a.txt::http://...``."""
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}|\b(?<=bearer )[\w.~+/=-]{8,}", re.IGNORECASE)
_SIGNED = re.compile(
    r"((?:[?&;]|%3f|%26)[\w.-]{0,40}(?:key|token|secret|sig|signature|passw|pwd|credential|auth)[\w.-]{0,40}"
    r"(?:=|%3d))(?:(?!%26)[^&\s'\"<>])+",
    re.IGNORECASE,
)
_QUERY = {True: re.compile(r"[?#]"), False: re.compile(r"\?[^/?]*=")}
"""The beginning of a query, by whether the address is of the web: elsewhere ? is a wildcard."""


def has_secret(address: str) -> bool:
    """Return whether an address has a password, or a query, which may be a signature.

    Example:
        >>> has_secret("https://me:pw@x.org/a.txt"), has_secret("https://x.org/a.txt")
        (True, False)
    """
    return redacted(address) != address


def redacted(address: str) -> str:
    """Return an address without user, password, query and fragment.

    Example:
        >>> redacted("https://me:pw@x.org:8080/a.jsonl?X-Amz-Signature=1f")
        'https://***@x.org:8080/a.jsonl?***'
    """
    hidden = without_secrets(address)
    scheme, mark, rest = hidden.partition("://")
    bare, tail = _without_query(scheme, rest)
    return f"{scheme}{mark}{bare}{tail and tail[0] + HIDDEN}"


def without_secrets(text: str) -> str:
    """Return text without the users, passwords, keys and tokens of addresses in it.

    Example:
        >>> without_secrets("zip://a.txt::http://me:pw@x.org/b?page=2&token=1f")
        'zip://a.txt::http://***@x.org/b?page=2&token=***'
        >>> without_secrets("s3://KEY:SEC/RET@bucket/x"), without_secrets("https//me:pw@x.org")
        ('s3://***@bucket/x', 'https//***@x.org')
    """
    hidden = _BROKEN.sub(rf"\1{HIDDEN}@", _TOKEN.sub(HIDDEN, text))
    hidden = _WITHOUT_SLASHES.sub(rf"\1{HIDDEN}@", _PLACE.sub(_without_user, hidden))
    return _SIGNED.sub(rf"\1{HIDDEN}", hidden)


def _without_user(match: re.Match[str]) -> str:
    """Return the host and path of an address without user and password."""
    begins, rest = match.groups()
    inner = _OPENER.search(rest)
    if inner:
        rest = rest[: inner.start()]
    end = _END.search(rest)
    at = end.start() if end else len(rest)
    place, tail = rest[:at], rest[at:]
    if user := _USER.match(place):
        place = f"{HIDDEN}@{place[user.end() :]}"
    elif _PASSWORD.match(place):  # which holds a slash, or is not closed
        user = _USER.match(tail)
        place, tail = (f"{HIDDEN}@", tail[user.end() :]) if user else (HIDDEN, "")
    return f"{begins}{place}{tail}{inner[0] if inner else ''}"


def _without_query(scheme: str, rest: str) -> tuple[str, str]:
    """Split an address after its scheme into host with path, and query or fragment."""
    query = _QUERY[scheme.lower() in ("http", "https")].search(rest)
    at = query.start() if query else len(rest)
    return rest[:at], rest[at:]


def scrub(text: str) -> str:
    """Return a message with the addresses in it redacted.

    Example:
        >>> scrub("cannot connect to https://x.org/a?key=1f now")
        'cannot connect to https://x.org/a?*** now'
    """
    return _ADDRESS.sub(lambda match: redacted(match[0]), without_secrets(text))


def scrub_of_library(text: str) -> str:
    """Return a library's message redacted, whose addresses may lack their scheme.

    Example:
        >>> scrub_of_library("no bucket KEY:SECRET@bucket")
        'no bucket ***@bucket'
    """
    return _PAIR.sub(f"{HIDDEN}@", scrub(text))


def path_of(address: str) -> str:
    """Return the path of an address, without its query.

    Example:
        >>> path_of("https://x.org/a.jsonl.gz?key=1f")
        '/a.jsonl.gz'
    """
    scheme, _, rest = address.partition("://")
    place, slash, path = _without_query(scheme, rest)[0].partition("/")
    return slash + path if slash else place
