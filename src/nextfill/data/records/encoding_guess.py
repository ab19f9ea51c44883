"""The encoding in which bytes read most like a text."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from nextfill.data.records.alphabets import BEYOND_ASCII, has_latin, plausibility

_MANY_BYTES = ("gb18030", "cp932", "euc_jp", "big5", "cp949")
_ONE_BYTE = (
    "cp1252",
    "iso8859_15",
    "cp1250",
    "iso8859_2",
    "mac_roman",
    "cp1251",
    "koi8_r",
    "koi8_u",
    "cp866",
    "mac_cyrillic",
    "iso8859_5",
    "cp1253",
    "iso8859_7",
    "cp1254",
    "cp1257",
    "cp1255",
    "cp1256",
    "cp850",
    "cp852",
    "cp437",
    "mac_latin2",
)
_LEAST_FIT = 0.75


@dataclass(frozen=True)
class Guess:
    """An encoding, how sure it is, and a word that shows it."""

    encoding: str
    certainty: str
    word: str


def fits(sample: bytes, encoding: str) -> bool:
    """Check that a sample reads like a text in an encoding."""
    return _fit(sample, encoding) >= _LEAST_FIT


def guess_encoding(sample: bytes) -> Guess | None:
    """Return the encoding in which a sample reads most like text, or None if in none it does."""
    from charset_normalizer import from_bytes

    match = from_bytes(sample, cp_isolation=[*_MANY_BYTES, *_ONE_BYTE]).best()
    if match is not None and match.encoding in _MANY_BYTES and _is_eastern(str(match)):
        others = [one for one in match.could_be_from_charset if one in _MANY_BYTES]
        encoding = min(others, key=_MANY_BYTES.index, default=match.encoding)
        certainty = "sure" if len(sample) > 100 else "likely"
        return Guess(encoding, certainty, _word(str(match)))
    ranked = sorted(
        ((-round(_fit(sample, one), 2), rank, one) for rank, one in enumerate(_ONE_BYTE)),
    )
    share, _, encoding = ranked[0]
    # Where several alphabets beyond Latin have all letters, their frequencies tell.
    if match is not None and not has_latin(str(match)):
        tied = [one for s, _, one in ranked if s == share]
        encoding = next((one for one in tied if _decoded(sample, one) == str(match)), encoding)
    if -share < _LEAST_FIT:
        return None
    text = _decoded(sample, encoding)
    rival = next((-s for s, _, one in ranked[1:] if _decoded(sample, one) != text), 0.0)
    beyond = len(BEYOND_ASCII.findall(text))
    margin = -share - rival
    certainty = "sure" if margin > 0.1 and beyond >= 20 else "likely" if margin > 0 else "a guess"
    return Guess(encoding, certainty, _word(text))


def _is_eastern(text: str) -> bool:
    """Check that most characters beyond ASCII are of Chinese, Japanese or Korean."""
    beyond = BEYOND_ASCII.findall(text)
    eastern = sum("\u2e80" <= c <= "\ud7ff" or "\uff00" <= c <= "\uffef" for c in beyond)
    return bool(eastern >= 0.8 * len(beyond))


def _decoded(sample: bytes, encoding: str) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""


def _fit(sample: bytes, encoding: str) -> float:
    """Return how much of a sample is as some language has it, in an encoding."""
    text = _decoded(sample, encoding)
    if encoding in _MANY_BYTES:
        return float(bool(text) and _is_eastern(text))
    return plausibility(text)


def _word(text: str) -> str:
    found = re.search(r"\w*[^\x00-\x7f]\w*", text)
    return found[0][:24] if found else ""
