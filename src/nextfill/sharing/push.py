"""Send a model to the Hub: one commit with all files, or none; and as often as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.errors import ConfigError, HubError, NotSharedError
from nextfill.hub import patient_hub
from nextfill.sharing.access import check_namespace, check_private, who_am_i
from nextfill.sharing.files import LocalFile, differing, in_the_way
from nextfill.sharing.refusals import FAILURES, hub_errors

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

    Args:
        files: All of the model.
        repo: ``USER/NAME``.
        private: Whether a new repository is to be private.
        message: Of the commit.
        again: What to type to repeat the push.
        show_progress: Whether to show bars on stderr.

    Returns:
        What was sent.

    Raises:
        NotSharedError: If it cannot be done; the repository is then as it was before.
        KeyboardInterrupt: On Ctrl-C, saying how to repeat it.
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
