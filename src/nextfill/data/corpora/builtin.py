"""Built-in corpora: real English text on every machine, with no network.

The text is the documentation that comes with Python itself and with Nextfill's dependencies. It
is read from the source files through `ast`; none of the modules is imported, so a corpus takes
seconds (about 4 for torch's 27 MB of source) and runs no code.

What is held out is chosen so that perplexity before and after training can be compared honestly:

- whole source files (a topic of `pydoc` counts as a file), by a SHA-256 of the module's name, so
  that a module keeps its side on every machine, in every version and in every composition;
- exact and near duplicates are removed within each side and across the two, over all the corpora
  that are composed together: `nextfill.data.corpora.dedup` says how, and from which side.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from nextfill.data.corpora import dedup, docstrings
from nextfill.data.corpora.docstrings import Entry
from nextfill.data.corpora.packages import CORPORA, source_files, versions
from nextfill.data.document import Record
from nextfill.errors import DataError, nearest

logger = logging.getLogger("nextfill")

# Part of the fingerprint: raise it whenever the same files would give other records.
EXTRACTOR_VERSION = 1
TEXT_FIELD = "answers.text"
JOIN = "\n\n"  # docstrings of one class are paragraphs
SPLITS = ("train", "test")
HELD_OUT_SHARE = 0.1


def parse_names(spec: str) -> tuple[str, ...]:
    """Split a specification such as ``stdlib-docs+package-docs`` into corpus names.

    Args:
        spec: Names joined by ``+``; a repeated name counts once.

    Returns:
        The names, in the order written.

    Raises:
        DataError: If a name is unknown.

    Example:
        >>> parse_names("stdlib-docs+package-docs")
        ('stdlib-docs', 'package-docs')
    """
    names = tuple(dict.fromkeys(name.strip() for name in spec.split("+")))
    _check(names)
    return names


def fingerprint(names: Sequence[str], split: str) -> str:
    """Identify what `records` would give, without reading any source file.

    Args:
        names: Corpus names.
        split: ``"train"`` or ``"test"``.

    Returns:
        A SHA-256 as hexadecimal digits: it changes with the extractor, the version of Python or of
        a package read, the names and the split.

    Raises:
        DataError: If a name or the split is unknown, or a package is not installed.

    Example:
        >>> len(fingerprint(["stdlib-docs"], "test"))
        64
    """
    _check(names, split)
    parts = [f"extractor {EXTRACTOR_VERSION} {dedup.RULE}", f"split {split}"]
    for name in names:
        parts += [f"corpus {name}", *versions(CORPORA[name])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def records(names: Sequence[str], split: str) -> Iterator[Record]:
    """Read the records of built-in corpora, in a fixed order.

    There is one record per module docstring, per function, and per class (its docstring, then those
    of its methods). A record has the shape of the ELI5 data set: `q_id`, `title` (the qualified
    name), `category` (the top-level package or module), and `answers` with `text` and `score`. The
    score is the number of words in the text: an honest integer, not a judgement.

    Args:
        names: Corpus names, as `parse_names` gives them.
        split: ``"train"`` or ``"test"`` (whole source files, about a tenth of them).

    Returns:
        The records, numbered from 0 within the split.

    Raises:
        DataError: If a name or the split is unknown, or a source cannot be found.

    Example:
        >>> first = next(records(["stdlib-docs"], "train"))
        >>> sorted(first.value)
        ['answers', 'category', 'q_id', 'title']
    """
    _check(names, split)
    return iter(_splits(tuple(names))[split])


def _check(names: Sequence[str], split: str = "train") -> None:
    for name in names:
        if name not in CORPORA:
            raise DataError(
                f"There is no built-in corpus '{name}'.{nearest(name, CORPORA)} "
                f"Choose among {', '.join(CORPORA)}, or join several with '+'."
            )
    if not names:
        raise DataError(f"No built-in corpus is named. Choose among {', '.join(CORPORA)}.")
    if split not in SPLITS:
        raise DataError(
            f"A built-in corpus has no split '{split}'.{nearest(split, SPLITS)} "
            f"Its splits are {' and '.join(SPLITS)}; 'test' is held out by whole source files."
        )


@lru_cache(maxsize=4)
def _splits(names: tuple[str, ...]) -> Mapping[str, tuple[Record, ...]]:
    """Divide the entries, remove repeated texts, and make the records of both splits."""
    sides: dict[str, list[tuple[str, Entry]]] = {split: [] for split in SPLITS}
    for name in names:
        for entry in _entries(name):
            sides["test" if _is_held_out(entry.unit) else "train"].append((name, entry))
    texts = {
        split: [text for _, entry in side for text in entry.texts] for split, side in sides.items()
    }
    flags = dedup.keep_apart(texts["train"], texts["test"])
    return {split: _records(sides[split], kept) for split, kept in zip(SPLITS, flags, strict=True)}


def _records(side: Sequence[tuple[str, Entry]], kept: Sequence[bool]) -> tuple[Record, ...]:
    """Make the records of one split of the texts that are kept: one flag per text."""
    made: list[Record] = []
    flags = iter(kept)
    for name, entry in side:
        texts = [text for text in entry.texts if next(flags)]
        if texts:
            place = f"{entry.path}:{entry.line}"
            value = {
                "q_id": place,
                "title": entry.title,
                "category": entry.unit.partition(".")[0],
                "answers": {"text": texts, "score": [len(text.split()) for text in texts]},
            }
            made.append(Record(len(made), value, f"builtin:{name} {place}"))
    return tuple(made)


def _is_held_out(unit: str) -> bool:
    digest = hashlib.sha256(unit.encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


@lru_cache(maxsize=len(CORPORA))
def _entries(name: str) -> tuple[Entry, ...]:
    """Read every source file of one corpus."""
    found: list[Entry] = []
    unreadable: list[str] = []
    for path, file in source_files(CORPORA[name]):
        try:
            found += docstrings.entries(file.read_bytes(), path)
        except (SyntaxError, ValueError, OSError) as error:
            unreadable.append(f"{path} ({error})")
    if unreadable:
        logger.warning(
            "builtin:%s: %d source files could not be read and are left out, the first is %s",
            name,
            len(unreadable),
            unreadable[0],
        )
    if not found:
        raise DataError(
            f"builtin:{name} is empty here: this Python was installed without its source files. "
            f"Choose another among {', '.join(CORPORA)}."
        )
    return tuple(found)
