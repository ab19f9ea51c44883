"""Encodings of text files: UTF-8, a byte order mark's, or one that is weighed over all of a source.

A folder is far likelier to be in one encoding than in ten, and a short file alone misleads, so all
files that are not UTF-8 are weighed together, and each by itself only where they disagree.
"""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from encodings.aliases import aliases
from typing import Any

from nextfill.core.errors import ConfigError, DataError, nearest
from nextfill.data.records.files import File, Files, warn_once
from nextfill.data.records.formats.compression import open_file, reading
from nextfill.data.records.formats.encoding_guess import ESCAPED, Guess, shows, telling_lines, weigh
from nextfill.data.records.unreadable_files import (
    is_out_of_reach,
    problem_message,
    problems_of,
)

TEXT_FORMATS = ("txt", "md", "jsonl", "json", "csv", "tsv")
UTF8 = "utf-8"

_PIECE = 1 << 20
_MOST_READ = 1 << 28
"""Bytes of a source that are read for its encodings; of files after these, the first piece."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEVEN_BIT = ("iso2022", "hz", "utf_7")


@dataclass(frozen=True)
class _Scan:
    """What the bytes of a file tell: its encoding, a problem, or a sample to weigh."""

    encoding: str = ""
    problem: str = ""
    sample: bytes = b""
    open: bool = False
    """Whether what was read is ASCII, and more may follow that is not."""


@dataclass(frozen=True)
class Encodings:
    """The encodings of a source's text files.

    Args:
        files: All its files, each with its encoding.
        counts: Text files by encoding; empty where all are UTF-8.
        problems: Messages about files of no encoding that can be told, by their names.
        note: A sentence for the user; empty where all are UTF-8.
    """

    files: Sequence[File]
    counts: dict[str, int]
    problems: dict[str, str]
    note: str


def checked_encoding(name: str) -> str:
    """Return Python's name of an encoding of text.

    Example:
        >>> checked_encoding("Windows-1252"), checked_encoding("UTF8")
        ('cp1252', 'utf-8')
    """
    try:
        b"a".decode(name)
        found = codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError):
        known = sorted({*aliases, *aliases.values()})
        raise ConfigError(
            [
                f"--encoding {name!r}: there is no such encoding."
                f"{nearest(name.lower().replace('-', '_'), known)} Expected a name such as utf-8, "
                "cp1252, cp1251, shift_jis or gb18030."
            ]
        ) from None
    return UTF8 if found in ("utf-8-sig", "ascii") else found


def find_encodings(
    files: Sequence[File], name: str, forced: str | None, *, whole: bool = True
) -> Encodings:
    """Find the encoding of each text file, or of its beginning unless it is to be read ``whole``.

    ``forced`` is that of all that are not UTF-8.
    """
    chosen = None if forced is None else checked_encoding(forced)
    scans: dict[int, _Scan] = {}
    problems: dict[str, str] = {}
    left = _MOST_READ if whole else 0
    for at, file in enumerate(files):
        if file.format in TEXT_FORMATS:
            # From the web and from archives, a whole reading more may take as long as the job.
            most = max(left, 1) if file.seeks else 1
            try:
                scans[at], read = _remembered_scan(file, most)
            except DataError as error:
                if is_out_of_reach(error):
                    raise
                problems[file.name] = str(error).removeprefix(f"{file.name}: ").rstrip(".")
                continue
            left -= read
    open_ = [
        at for at, one in scans.items() if one.sample or (chosen and (one.problem or one.open))
    ]
    if chosen is not None and chosen.startswith(_SEVEN_BIT):
        open_ = list(scans)
    guesses = (
        {at: Guess(chosen, "named", "") for at in open_}
        if chosen is not None
        else weigh({at: scans[at].sample for at in open_})
    )
    found = list(files)
    counts: dict[str, int] = {}
    for at, one in scans.items():
        guess = guesses.get(at)
        encoding = guess.encoding if guess else one.encoding
        if not encoding:
            problems[files[at].name] = one.problem or _UNKNOWN
            continue
        counts[encoding] = counts.get(encoding, 0) + 1
        if encoding != UTF8:
            found[at] = replace(files[at], encoding=encoding)
    others = {key: number for key, number in counts.items() if key != UTF8}
    note = _note(name, found, guesses, others, len(scans)) if others and chosen is None else ""
    return Encodings(found, dict(sorted(counts.items())) if others else {}, problems, note)


_UNKNOWN = (
    "found text in an encoding that cannot be told, or no text at all. Name its encoding, for "
    "example --encoding cp1252, or take the file out"
)


def _remembered_scan(file: File, most: int) -> tuple[_Scan, int]:
    """Return what the bytes of a file tell, and how much of it is read for that."""

    def answer() -> list[Any]:
        scan, read = _scan(file, most)
        return [scan.encoding, scan.problem, scan.sample.decode("latin-1"), scan.open, read]

    encoding, problem, sample, is_open, read = file.remembered(f"encoding by {most} bytes", answer)
    return _Scan(encoding, problem, sample.encode("latin-1"), is_open), read


def _scan(file: File, most: int) -> tuple[_Scan, int]:
    """Read a file for its encoding, and return how much of it was read."""
    decoder = codecs.getincrementaldecoder(UTF8)("surrogateescape")
    sample, read, good, broken, first, line = bytearray(), 0, 0, 0, 0, 1
    with reading(file.name, file.compression), open_file(file) as stream:
        while read < most and (piece := stream.read(_PIECE)):
            if not read and (mark := next((e for m, e in _MARKS if piece.startswith(m)), "")):
                return _Scan(mark), len(piece)
            if b"\0" in piece:
                encoding = _wide(piece) if not read else ""
                # A NUL is an error with its line when the file is read.
                return _Scan(encoding or UTF8), len(piece)
            # One byte is found far faster than three.
            if b"\x1b" in piece and (b"\x1b$B" in piece or b"\x1b$@" in piece):
                return _Scan("iso2022_jp"), len(piece)
            read += len(piece)
            if piece.isascii() and not decoder.getstate()[0]:  # all that it would say, at once
                line += piece.count(b"\n")
                continue
            text = decoder.decode(piece)
            if not text.isascii():
                escaped = 0 if _is_unicode(text) else len(ESCAPED.findall(text))
                if escaped and not broken:
                    at = ESCAPED.search(text)
                    first = line + text.count("\n", 0, at.start() if at else 0)
                broken += escaped
                good += len(text) - len(text.encode("ascii", "ignore")) - escaped
                if escaped:
                    sample += telling_lines(text, sample)
            line += text.count("\n")
        if tail := decoder.decode(b"", final=read < most):
            first, broken = first or line, broken + len(tail)
            sample = sample or bytearray(tail.encode(UTF8, "surrogateescape"))
    if not broken:
        return _Scan(UTF8, open=not good and read >= most), read
    if good >= 2 * broken:
        where = f"line {first}" if broken == 1 else f"{broken:,} bytes, the first in line {first}"
        return _Scan(
            problem=f"not UTF-8 ({where}, broken in a text that is UTF-8 otherwise). Mend it, or "
            "drop these bytes: iconv -c -f UTF-8 -t UTF-8 OLD > NEW"
        ), read
    return _Scan(sample=bytes(sample)), read


def _is_unicode(text: str) -> bool:
    """Check that no byte was escaped, in a tenth of the time of a search."""
    try:
        text.encode(UTF8)
    except UnicodeEncodeError:
        return False
    return True


def _wide(head: bytes) -> str:
    """Return the encoding of text in two or four bytes a character, or an empty string.

    Its NULs, of which each ASCII character has one, are many, and stand at odd places or at even.
    """
    sides = [head[side::2].count(0) for side in (0, 1)]
    is_four = len(head) > 3 and 2 * sum(sides) >= len(head)  # three of four bytes may be NULs
    if max(sides) < max(2, len(head) // 40) or (min(sides) and not is_four):
        return ""
    best = (0.0, "")
    for encoding, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        sample = head[: min(len(head), 1 << 16) // width * width]
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeError:
            continue
        if not text or any(unicodedata.category(c) in ("Cn", "Co") for c in text[:2000]):
            continue
        if any(c < " " and c not in "\t\n\r\f\x1a" for c in text):
            continue
        plain = sum(c in " \n\r\t,.;:-" or c.isascii() for c in text) / len(text)
        best = max(best, (plain, encoding))
    return best[1]


def _note(
    name: str,
    files: Sequence[File],
    guesses: dict[int, Guess],
    counts: dict[str, int],
    num_texts: int,
) -> str:
    """Describe the files that are not UTF-8, and name the flag."""
    parts = []
    for encoding, number in counts.items():
        named = [file.name for file in files if file.encoding == encoding]
        found = [one for one in guesses.values() if one.encoding == encoding]
        # A word with a letter shows an encoding, and one with a quote alone does not.
        guess = max(found, key=lambda one: shows(one.word), default=None)
        how = f", {guess.certainty}" if guess else ", by its marks"
        word = f", as in {guess.word!r}" if guess and guess.word else ""
        which = f" ({', '.join(named[:3])}{' ...' if number > 3 else ''})" if num_texts > 1 else ""
        parts.append(f"{number:,} of {num_texts:,}{which} as {encoding}{how}{word}")
    several = "text files are" if num_texts > 1 else "text file is"
    return (
        f"{name}: not all {several} UTF-8; read are {'; '.join(parts)}. If that is wrong, name "
        "another with --encoding."
        if num_texts > 1
        else f"{name}: the {several} not UTF-8, and is read as {parts[0].partition(' as ')[2]}. "
        "If that is wrong, name another with --encoding."
    )


def with_encodings(
    name: str,
    splits: Mapping[str, Files],
    forced: str | None,
    *,
    whole: bool,
    read_file: Callable[[File], Iterator[object]],
) -> tuple[dict[str, Files], dict[str, int]]:
    """Return the files of all splits with their encodings, and counts of these.

    Those without an encoding are an error, which names what else ``read_file`` cannot read.
    """
    each = [file for one in splits.values() for file in one.files]
    found = find_encodings(each, name, forced, whole=whole)
    if found.problems:
        problems = [f"{file}: {problem}" for file, problem in found.problems.items()]
        others = [file for file in found.files if file.name not in found.problems]
        more, unknown = problems_of(others, read_file)
        raise problem_message(name, [*problems, *more], unknown)
    if found.note:
        recoded = [
            [os.path.abspath(file.name), file.encoding]  # noqa: PTH100 - or an address
            for file in found.files
            if file.encoding
        ]
        warn_once(found.note, ["encodings", recoded])
    files = iter(found.files)
    named = {
        part: replace(one, files=[next(files) for _ in one.files]) for part, one in splits.items()
    }
    return named, found.counts
