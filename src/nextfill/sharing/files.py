"""The files of a model: which are sent, and whether the Hub has them already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import Any

SENT = (
    "README.md",
    "*.safetensors",
    "*.safetensors.index.json",
    "adapter_config.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "chat_template.*",
)
"""What transformers and PEFT write beside one another; nothing else of a folder leaves it."""

READ_INSTEAD = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
)
"""What would be read in place of the new model, or with it, if an older push had left it there."""

_CHUNK = 1 << 22


@dataclass(frozen=True)
class LocalFile:
    """A file to be sent.

    Args:
        name: Its name in the repository.
        content: Where it lies, or what it holds.
        sha256: The id that the Hub gives a large file.
        git_sha1: The id that it gives any other.
    """

    name: str
    content: Path | bytes
    sha256: str
    git_sha1: str


def is_sent(name: str) -> bool:
    """Say whether a file of this name belongs to a model.

    Example:
        >>> is_sent("model.safetensors"), is_sent("diary.txt")
        (True, False)
    """
    return any(fnmatch(name, pattern) for pattern in SENT)


def local_file(name: str, content: Path | bytes) -> LocalFile:
    r"""Return a file with the ids that the Hub would give it.

    Example:
        >>> local_file("a.txt", b"hello\n").git_sha1
        'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    plain, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        while piece := file.read(_CHUNK):
            plain.update(piece)
            git.update(piece)
    return LocalFile(name, content, plain.hexdigest(), git.hexdigest())


def differing(files: list[LocalFile], remote: Mapping[str, Any]) -> list[LocalFile]:
    """Return the files that the Hub does not have as they are here.

    Args:
        files: The files here.
        remote: What the Hub lists, each with ``blob_id`` and perhaps ``lfs``, by name.
    """
    return [file for file in files if not _same(file, remote.get(file.name))]


def _same(file: LocalFile, sibling: Any) -> bool:
    if sibling is None:
        return False
    if sibling.lfs is not None:
        return bool(sibling.lfs.sha256 == file.sha256)
    return bool(sibling.blob_id == file.git_sha1)


def in_the_way(files: list[LocalFile], remote: Mapping[str, Any]) -> list[str]:
    """Return what an older push has left there that would be read in place of these files."""
    here = {file.name for file in files}
    names = (name for name in remote if name not in here)
    return sorted(n for n in names if any(fnmatch(n, pattern) for pattern in READ_INSTEAD))
