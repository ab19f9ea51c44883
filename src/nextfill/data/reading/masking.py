"""Addresses without their secrets: what may stand in messages and in files."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"\w[\w+.-]*://[^\s'\"<>]+")
_QUERY = {True: re.compile(r"[?#]"), False: re.compile(r"\?[^/?]*=")}
"""Where a query begins, by whether it is an address of the web: elsewhere ? is a wildcard."""

HIDDEN = "***"


def has_secret(address: str) -> bool:
    """Tell whether an address holds a password, or a query, which may be a signature.

    Example:
        >>> has_secret("https://me:pw@x.org/a.txt"), has_secret("https://x.org/a.txt")
        (True, False)
    """
    return masked(address) != address


def masked(address: str) -> str:
    """Return an address without user, password, query and fragment.

    Example:
        >>> masked("https://me:pw@x.org:8080/a.jsonl?X-Amz-Signature=1f")
        'https://***@x.org:8080/a.jsonl?***'
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    bare, tail = _without_query(scheme, rest)
    place, slash, path = bare.partition("/")
    if "@" in place:  # a password may hold one, too
        place = f"{HIDDEN}@{place.rpartition('@')[2]}"
    return f"{scheme}{mark}{place}{slash}{path}{tail and tail[0] + HIDDEN}"


def _without_query(scheme: str, rest: str) -> tuple[str, str]:
    """Part what follows the scheme into place and path, and the query or fragment."""
    query = _QUERY[scheme.lower() in ("http", "https")].search(rest)
    at = query.start() if query else len(rest)
    return rest[:at], rest[at:]


def scrub(text: str) -> str:
    """Return a message with the addresses in it masked.

    Example:
        >>> scrub("cannot connect to https://x.org/a?key=1f now")
        'cannot connect to https://x.org/a?*** now'
    """
    return _ADDRESS.sub(lambda found: masked(found[0]), text)


def path_of(address: str) -> str:
    """Return the path of an address, whose end tells the format.

    Example:
        >>> path_of("https://x.org/a.jsonl.gz?key=1f")
        '/a.jsonl.gz'
    """
    scheme, _, rest = address.partition("://")
    place, slash, path = _without_query(scheme, rest)[0].partition("/")
    return slash + path if slash else place
