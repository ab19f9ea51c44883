"""Only regular files of a model's own folder are read: no link out of it, no pipe, no device.

Reading a pipe waits for ever, reading a device may never end, and a link may bring a file of
somebody else's into what is trained and shared. The Hub's cache is made of links, from a
repository's snapshots to its blobs, and is read as it is.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from nextfill.errors import ModelError
from nextfill.models.json_file import MEGABYTE

WEIGHTS = "*.safetensors"
_MEGABYTES: dict[str, int | None] = {
    "*config.json": 16,
    "config.*.json": 16,
    "chat_template*": 16,
    "additional_chat_templates/*": 16,
    "special_tokens_map.json": 16,
    "added_tokens.json": 64,
    "tokenizer*.json": 128,
    "tekken.json": 128,
    "vocab.json": 128,
    "vocab.*": 16,
    "merges.txt": 64,
    "*.model": 64,
    "*.tiktoken": 64,
    "*.index.json": 64,
    WEIGHTS: None,
}
"""The files of a model's folder that anything reads, and how many megabytes they may hold."""


def regular_files(folder: Path, *, with_weights: bool) -> list[Path]:
    """Return the files of a folder that would be read, having refused what is no regular file.

    Args:
        folder: A model's or a tokenizer's folder.
        with_weights: Whether its weights are read, too.

    Raises:
        ModelError: With the file, and what it is.
    """
    found: dict[Path, int | None] = {}
    for pattern, megabytes in _MEGABYTES.items():
        if pattern != WEIGHTS or with_weights:
            for path in folder.glob(pattern):
                found.setdefault(path, megabytes)
    for path, megabytes in found.items():
        check_file(path, folder, megabytes=megabytes)
    return sorted(found)


def check_file(path: Path, folder: Path, *, megabytes: int | None = None) -> None:
    """Refuse a file that is no regular one, is too large, or lies outside of a model's folder.

    Args:
        path: The file.
        folder: The model's folder.
        megabytes: How large it may be; None for any size.

    Raises:
        ModelError: With what was found.
    """
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError of links in a circle
        if path.is_symlink():
            raise ModelError(
                f"{path} is a link that leads nowhere: put the file itself there."
            ) from error
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not any(target.is_relative_to(root) for root in _roots(folder)):
        raise ModelError(
            f"{path} leads out of the model's folder, to {target}. Only files within the folder "
            "are read: put the file itself there."
        )
    if stat.S_ISDIR(status.st_mode):
        return  # which whatever looks for a file there does not find
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is {_kind(status.st_mode)}, not a regular file: remove it.")
    if megabytes is not None and status.st_size > megabytes * MEGABYTE:
        raise ModelError(
            f"{path} holds {status.st_size:,} bytes; expected {megabytes} MB at most. Fetch it "
            "again."
        )


def _roots(folder: Path) -> Iterator[Path]:
    """Yield where a folder's files may lie; those of a snapshot in the Hub's cache are blobs."""
    real = folder.resolve()
    yield real
    if real.parent.name == "snapshots":
        yield real.parent.parent / "blobs"


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe (FIFO)"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
