"""Slices of a source's splits, in the grammar of the `datasets` library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from nextfill.core.errors import DataError, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """A run of records of one split, from 0; ``stop`` may be beyond its end."""

    split: str
    start: int = 0
    stop: int = sys.maxsize


def resolve(spec: str, names: Sequence[str], count: Callable[[str], int]) -> tuple[Piece, ...]:
    """Turn a slice such as ``train[10%:20%]`` into runs of records; ``count`` is called if needed.

    Example:
        >>> resolve("train[10%:20%]", ["train"], lambda split: 200)
        (Piece(split='train', start=20, stop=40),)
    """
    instruction = check_slice(spec, names)
    if instruction is None:
        return (Piece(spec),)
    named = _named(spec)
    # Only percentages and positions from the end depend on the length, and counting costs a pass.
    counted = "%" in spec or "-" in spec
    lengths = {name: count(name) if counted else sys.maxsize for name in named}
    try:
        absolute = instruction.to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        raise _unreadable(spec, error) from error
    pieces = tuple(Piece(p.splitname, p.from_, p.to) for p in absolute)
    if all(piece.start >= piece.stop for piece in pieces):
        held = ", ".join(f"{n} holds {lengths[n]} records" for n in lengths) if counted else ""
        raise DataError(f"--split {spec!r} selects no records.{f' Here {held}.' if held else ''}")
    return pieces


def check_slice(spec: str, names: Sequence[str], advice: Callable[[], str] = str) -> Any:
    """Refuse a slice that cannot be read, or is of no split; return it read, None for a whole one.

    ``advice`` returns what else is to be said where there is no such split.

    Example:
        >>> check_slice("train", ["train"]) is None
        True
    """
    for name in _named(spec):
        if name not in names:
            further = advice()
            raise DataError(
                f"There is no split {name!r} (in --split {spec!r}). "
                f"The splits here: {', '.join(names)}.{nearest(name, names)}"
                f"{further and f' {further}'}"
            )
    if spec in names:
        return None

    from datasets import ReadInstruction

    try:
        return ReadInstruction.from_spec(spec.strip())
    except (ValueError, AssertionError) as error:
        raise _unreadable(spec, error) from error


def _named(spec: str) -> list[str]:
    return [part.split("[")[0].split("(")[0].strip() for part in spec.split("+")]


def _unreadable(spec: str, error: Exception) -> DataError:
    return DataError(
        f"--split {spec!r} cannot be read: {error} "
        "Expected for example train[:5000], train[10%:20%] or train[:10%]+train[90%:]."
    )


def read_pieces(pieces: Sequence[Piece], read: Callable[[str], Iterator[T]]) -> Iterator[T]:
    """Yield the records of each piece in turn, with a fresh pass for each.

    Example:
        >>> pieces = [Piece("train", 1, 3), Piece("train", 0, 1)]
        >>> list(read_pieces(pieces, lambda split: iter("abcd")))
        ['b', 'c', 'a']
    """
    for piece in pieces:
        if piece.start < piece.stop:
            yield from islice(read(piece.split), piece.start, piece.stop)
