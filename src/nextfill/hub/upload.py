"""Uploads to the Hub: the files that differ, in one commit with all of them or none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import Any

from nextfill.core.errors import ConfigError, HubError, NotSharedError
from nextfill.core.hub_client import patient_hub
from nextfill.hub.account import FAILURES, check_namespace, check_private, hub_errors, who_am_i

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
    """Return the files that the Hub does not have as they are here."""
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


_INFO_S = 10.0


@dataclass(frozen=True)
class Shared:
    """What a push came to.

    Args:
        repo: The repository, ``USER/NAME``.
        url: Where it is.
        commit: The commit that holds the files.
        private: Whether only you, or your organization, may see it.
        sent: Names of the files that were new or had changed; none if nothing had.
        removed: Names of files of an older push that would have been read instead.
        unchanged: How many files the Hub had already.
    """

    repo: str
    url: str
    commit: str
    private: bool
    sent: Sequence[str]
    removed: Sequence[str]
    unchanged: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        who = " (private)" if self.private else ""
        if not self.sent and not self.removed:
            return f"nothing has changed: {self.url}{who} holds these {self.unchanged} files"
        removed = f"; removed: {', '.join(self.removed)}" if self.removed else ""
        return f"shared: {self.url}{who}\nsent:   {', '.join(self.sent) or 'no file'}{removed}"


def push(
    files: Sequence[LocalFile],
    repo: str,
    *,
    private: bool,
    message: str,
    again: str,
    show_progress: bool,
) -> Shared:
    """Bring a repository to hold these files, making it if need be.

    What the Hub has already is not sent again; without a difference there is no commit. When it is
    unclear how a call ended, because its answer was lost, the Hub is asked what it holds.
    """
    doing = f"{repo} is as it was before"
    with _told(doing, again), patient_hub(), _bars(show_progress):
        login = who_am_i()
        remote = _remote(repo)
        if remote is None:
            check_namespace(repo, login)
            remote = _create(repo, private=private)
        check_private(repo, remote.private, wanted=private)
        listed = {sibling.rfilename: sibling for sibling in remote.siblings or ()}
        new, old = differing(list(files), listed), in_the_way(list(files), listed)
        commit = str(remote.sha)
        if new or old:
            commit = _commit(files, new, old, repo=repo, parent=commit, message=message)
        url = _url(repo)
        names = [file.name for file in new]
        return Shared(repo, url, commit, bool(remote.private), names, old, len(files) - len(new))


def _remote(repo: str) -> Any:
    """Return what the Hub says of a repository, each file with its id; None if there is none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return HfApi().model_info(repo, files_metadata=True, timeout=_INFO_S)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None


def _create(repo: str, *, private: bool) -> Any:
    """Make a repository; an error after which it is there all the same is none."""
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repo, private=private)
    except FAILURES:
        remote = _remote(repo)
        if remote is None:
            raise
        return remote
    remote = _remote(repo)
    if remote is None:
        raise HubError(f"The Hub has made {repo} and does not find it.")
    return remote


def _commit(
    files: Sequence[LocalFile],
    new: Sequence[LocalFile],
    old: Sequence[str],
    *,
    repo: str,
    parent: str,
    message: str,
) -> str:
    """Make one commit over the parent, or find that it was made; return its id."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    operations = [CommitOperationAdd(file.name, file.content) for file in new]
    removals = [CommitOperationDelete(name) for name in old]
    try:
        # Over its parent alone: sent twice, as by a retry, it is refused and not made twice.
        made = HfApi().create_commit(
            repo, [*operations, *removals], commit_message=message, parent_commit=parent
        )
    except (*FAILURES, HubError):
        remote = _remote_or_none(repo)
        listed = {one.rfilename: one for one in remote.siblings or ()} if remote else {}
        if remote is None or differing(list(files), listed) or in_the_way(list(files), listed):
            raise
        return str(remote.sha)
    return str(made.oid)


def _remote_or_none(repo: str) -> Any:
    """Ask once more what the Hub holds; if it does not say, the first error is what counts."""
    try:
        return _remote(repo)
    except (*FAILURES, HubError):
        return None


@contextmanager
def _told(doing: str, again: str) -> Iterator[None]:
    """End in a message that says how to repeat the push, however it fails."""
    hint = f"Everything is saved here. Try again with:\n  {again}"
    try:
        with hub_errors(doing):
            yield
    except ConfigError:
        raise
    except HubError as error:
        raise NotSharedError(f"{error}\n{hint}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"stopped while sharing. {hint}") from stop


@contextmanager
def _bars(show: bool) -> Iterator[None]:
    """Have huggingface_hub show its bars, or not; as it was afterwards."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if show or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _url(repo: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"
