"""Upload to the Hub: the changed files and the removal of stale ones, in one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
    "nextfill_quantization.json",
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
"""Names of the files of a model by transformers and PEFT; no other file of a folder is sent."""

READ_INSTEAD = (
    "adapter_config.json",
    "nextfill_quantization.json",
    "adapter_model.safetensors",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
)
"""Names of files of an older push that would be read in place of the new model, or with it."""

_CHUNK = 1 << 22
_INFO_S = 10.0


@dataclass(frozen=True)
class LocalFile:
    """A file to send.

    Args:
        name: Its name in the repository.
        content: Its path, or its bytes.
        sha256: Its id on the Hub if it is large.
        git_sha1: Its id on the Hub otherwise.
    """

    name: str
    content: Path | bytes
    sha256: str
    git_sha1: str


def is_sent(name: str) -> bool:
    """Return whether a file of this name belongs to a model.

    Example:
        >>> is_sent("model.safetensors"), is_sent("diary.txt")
        (True, False)
    """
    return any(fnmatch(name, pattern) for pattern in SENT)


def local_file(name: str, content: Path | bytes) -> LocalFile:
    r"""Return a file with the ids of its content on the Hub.

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


def changed_files(files: Sequence[LocalFile], remote: Mapping[str, Any]) -> list[LocalFile]:
    """Return the files that are new to the Hub or differ from its own."""
    return [file for file in files if not _same(file, remote.get(file.name))]


def _same(file: LocalFile, sibling: Any) -> bool:
    if sibling is None:
        return False
    if sibling.lfs is not None:
        return bool(sibling.lfs.sha256 == file.sha256)
    return bool(sibling.blob_id == file.git_sha1)


def stale_files(files: Sequence[LocalFile], remote: Mapping[str, Any]) -> list[str]:
    """Return the names of an older push's files that would be read in place of these."""
    here = {file.name for file in files}
    names = (name for name in remote if name not in here)
    return sorted(n for n in names if any(fnmatch(n, pattern) for pattern in READ_INSTEAD))


@dataclass(frozen=True)
class Shared:
    """The result of a push.

    Args:
        repo: The repository, ``USER/NAME``.
        url: Its address.
        commit: The commit that holds the files.
        private: Whether only you, or your organization, may see it.
        sent: Names of the files that were new or had changed; none if nothing had.
        removed: Names of files of an older push that would have been read instead.
        unchanged: Number of files that the Hub had already.
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
    """Send files to a repository in one commit, and make the repository if there is none.

    Files that the Hub has already are not sent; without a difference there is no commit. When the
    answer to a call is lost, the files on the Hub decide whether it succeeded. ``again`` is the
    command that repeats the push, for messages.
    """
    from huggingface_hub import constants

    doing = f"{repo} is as it was before"
    with _retry_hint(doing, again), patient_hub(), _bars(show_progress):
        login = who_am_i()
        remote = _remote(repo)
        if remote is None:
            check_namespace(repo, login)
            remote = _create(repo, private=private)
        check_private(repo, remote.private, required=private)
        listed = {sibling.rfilename: sibling for sibling in remote.siblings or ()}
        new, old = changed_files(files, listed), stale_files(files, listed)
        commit = str(remote.sha)
        if new or old:
            commit = _commit(files, new, old, repo=repo, parent=commit, message=message)
        url = f"{constants.ENDPOINT}/{repo}"
        names = [file.name for file in new]
        return Shared(repo, url, commit, bool(remote.private), names, old, len(files) - len(new))


def _remote(repo: str) -> Any:
    """Return the Hub's facts of a repository, each file with its id; None if there is none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return HfApi().model_info(repo, files_metadata=True, timeout=_INFO_S)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None


def _create(repo: str, *, private: bool) -> Any:
    """Make a repository; after an error it counts as made if it exists."""
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
    """Make one commit on the parent and return its id; after an error the Hub's files decide."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    operations = [CommitOperationAdd(file.name, file.content) for file in new]
    removals = [CommitOperationDelete(name) for name in old]
    try:
        # On its parent alone: sent twice, as by a retry, it is refused and not made twice.
        made = HfApi().create_commit(
            repo, [*operations, *removals], commit_message=message, parent_commit=parent
        )
    except (*FAILURES, HubError):
        remote = None
        with suppress(*FAILURES, HubError):  # a second error must not hide the first
            remote = _remote(repo)
        listed = {one.rfilename: one for one in remote.siblings or ()} if remote else {}
        if remote is None or changed_files(files, listed) or stale_files(files, listed):
            raise
        return str(remote.sha)
    return str(made.oid)


@contextmanager
def _retry_hint(doing: str, again: str) -> Iterator[None]:
    """Add the command that repeats the push to the message of any failure."""
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
    """Show or hide the bars of huggingface_hub, and restore its setting at the end."""
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
