"""The encoding in which bytes read most like a text."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

from nextfill.data.records.formats.alphabets import (
    BEYOND_ASCII,
    has_latin,
    plausibility,
    plausible_letters,
)

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
_CLEARLY = 0.05
"""By how much better a file reads in an encoding of its own, where that is taken."""

_WITH_LETTER = re.compile(r"\w*(?![\x00-\x7f])[^\W\d_]\w*")
_WITH_MARK = re.compile(r"\w*[^\x00-\x7f]\w*")


_SAMPLE = 1 << 14
_LINES = 1 << 13
"""Bytes of a sample that are lines from the beginning, whatever they hold; the others are lines
with a byte that was rare before them."""

_PIECE = 1 << 20
_LONGEST = 2000
_SPACE = re.compile(r"[ \n]")
_LINE_BEYOND_ASCII = re.compile(r"[^\n]{0,200}[^\x00-\x7f\n][^\n]{0,400}\n?")
_MOST_LINES = 400
_RARE = 4
ESCAPED = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, in text decoded with ``surrogateescape``."""


@dataclass(frozen=True)
class Guess:
    """An encoding, how sure it is, and a word that shows it."""

    encoding: str
    certainty: str
    word: str


def telling_lines(text: str, sample: bytes | bytearray) -> bytes:
    """Return the next lines of a sample, which alone tell an encoding, shortened around the place.

    A chapter may hold hundreds of quotes before its first letter beyond ASCII, and the letter is
    what tells: after the first lines, those with a byte that was rare so far are taken.
    """
    lines: list[bytes] = []
    size, at = len(sample), 0
    for found in islice(_LINE_BEYOND_ASCII.finditer(text, 0, _PIECE), _MOST_LINES):
        if size >= _LINES:
            break
        lines.append(_as_bytes(found[0]))
        size, at = size + len(lines[-1]), found.end()
    seen = Counter(b"".join([sample, *lines]))
    while size < _SAMPLE and (place := _rare(seen).search(text, at)):
        line, at = _words_around(text, place.start())
        # A line without a space cannot be shortened, and is long where it is of no text at all.
        seen.update(line or {ord(place[0]) & 0xFF: 1})
        lines.append(line)
        size += len(line)
    return b"".join(lines)


def _rare(seen: Counter[int]) -> re.Pattern[str]:
    """Return a pattern of the escaped bytes that were seen rarely."""
    rare = "".join(chr(0xDC00 + byte) for byte in range(128, 256) if seen[byte] < _RARE)
    return re.compile(f"[{rare}]" if rare else r"(?!)")


def _words_around(text: str, at: int) -> tuple[bytes, int]:
    """Return the words around a place, whole, and where they end; none if they are too long."""
    lowest, highest = max(0, at - _LONGEST), at + _LONGEST
    start = max(text.rfind("\n", lowest, at), text.rfind(" ", lowest, max(at - 200, 0)))
    after = _SPACE.search(text, at, highest)
    end = after.end() if after else len(text)
    if (start < 0 < lowest) or end > highest:
        return b"", at + 1
    return _as_bytes(text[start + 1 : end].rstrip() + "\n"), end


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def weigh(samples: dict[int, bytes]) -> dict[int, Guess]:
    """Weigh the samples together, and by itself each that the common encoding does not fit."""
    if not samples:
        return {}
    common = _pooled(samples)
    guesses = {at: _guess_for_file(sample, common) for at, sample in samples.items()}
    found = {at: guess for at, guess in guesses.items() if guess is not None}
    agreeing = [at for at, one in found.items() if common and one.encoding == common.encoding]
    if common is not None and 0 < len(agreeing) < len(samples):
        # How sure the common one is is for the files to tell that have it.
        again = _pooled({at: samples[at] for at in agreeing})
        if again is not None and again.encoding == common.encoding:
            found.update({at: replace(found[at], certainty=again.certainty) for at in agreeing})
    return found


def _pooled(samples: dict[int, bytes]) -> Guess | None:
    return guess_encoding(b"\n".join(one[:2048] for one in samples.values()))


def _guess_for_file(sample: bytes, common: Guess | None) -> Guess | None:
    """Return the common encoding of a source for one of its files, or its own where they disagree.

    Quotes are the same in many encodings, and many of them would outweigh the few letters of a
    file: what they are read as has to be plausible without them, too.
    """
    if common is None:
        return guess_encoding(sample)
    fit, letters = _fits(sample, common.encoding)
    shown = replace(common, word=_word(_decoded(sample, common.encoding)))
    if min(fit, letters) > 1 - _CLEARLY:
        return shown
    own = guess_encoding(sample)
    if min(fit, letters) < _LEAST_FIT or own is None:
        return own
    own_fit, own_letters = _fits(sample, own.encoding)
    is_better = max(own_fit - fit, own_letters - letters) > _CLEARLY
    return own if is_better else shown


def shows(word: str) -> bool:
    """Check that a word has a letter beyond ASCII."""
    return _WITH_LETTER.search(word) is not None


def guess_encoding(sample: bytes) -> Guess | None:
    """Return the encoding in which a sample reads most like text, or None if in none it does."""
    from charset_normalizer import from_bytes

    match = from_bytes(sample, cp_isolation=[*_MANY_BYTES, *_ONE_BYTE]).best()
    if match is not None and match.encoding in _MANY_BYTES and _is_eastern(str(match)):
        others = [one for one in match.could_be_from_charset if one in _MANY_BYTES]
        encoding = min(others, key=_MANY_BYTES.index, default=match.encoding)
        certainty = "sure" if len(sample) > 100 else "likely"
        return Guess(encoding, certainty, _word(str(match)))
    shares = {one: _fits(sample, one) for one in _ONE_BYTE}
    ranked = sorted(
        ((-round(fit, 2), -round(letters, 2)), rank, one)
        for rank, (one, (fit, letters)) in enumerate(shares.items())
    )
    (share, letters), _, encoding = ranked[0]
    # Where several alphabets beyond Latin have all letters, their frequencies tell.
    if match is not None and not has_latin(str(match)):
        tied = [one for both, _, one in ranked if both == (share, letters)]
        encoding = next((one for one in tied if _decoded(sample, one) == str(match)), encoding)
    if -share < _LEAST_FIT:
        return None
    text = _decoded(sample, encoding)
    rivals = (both for both, _, one in ranked[1:] if _decoded(sample, one) != text)
    rival, rival_letters = next(rivals, (0.0, 0.0))
    beyond = len(BEYOND_ASCII.findall(text))
    margin = (rival - share) or (rival_letters - letters)
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


def _fits(sample: bytes, encoding: str) -> tuple[float, float]:
    """Return how much of a sample is as some language has it, and how much of its letters."""
    fit = _fit(sample, encoding)
    return fit, fit if encoding in _MANY_BYTES else plausible_letters(_decoded(sample, encoding))


def _word(text: str) -> str:
    """Return a word beyond ASCII, with a letter if there is one: quotes tell no encodings apart."""
    found = _WITH_LETTER.search(text) or _WITH_MARK.search(text)
    return found[0][:24] if found else ""
