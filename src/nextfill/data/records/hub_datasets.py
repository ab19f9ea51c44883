"""Data sets of the Hugging Face Hub, through the `datasets` library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from nextfill.config.command_line.python_messages import is_called
from nextfill.core.errors import DataError, HubError, nearest
from nextfill.core.hub_client import DatasetName, patient_hub
from nextfill.data.document import Record, Source
from nextfill.data.records.formats.column_tables import columns_for, unreadable_value
from nextfill.data.records.slices import Piece, read_pieces, resolve

# One quick question before `load_dataset`, which tries an unreachable network for 23 seconds.
_PROBE_TIMEOUT_S = 10.0

_INSTEAD = "Type instead: --data dany0407/eli5_category --text-field answers.text"
_INSTEAD_IN_PYTHON = (
    "Give data='dany0407/eli5_category', and text_field='answers.text' where a text is read."
)
_WITHDRAWN = {
    "eli5": "'eli5' is defunct: its source was withdrawn.",
    "eli5_category": "'eli5_category' is a script, which is no longer run.",
}

# Words in the messages of `datasets`: about a copy in its cache, and about the split.
_CACHE_SIGNS = ("find cache", "Cache directory")
_SPLIT_SIGNS = (
    "nknown split",
    "corresponds to no data",
    "instruction format",
    "Percent slice",
    "rounding",
)
_FEW_TRIES = {
    "STREAMING_READ_MAX_RETRIES": 3,
    "STREAMING_OPEN_MAX_RETRIES": 3,
    "STREAMING_READ_RETRY_INTERVAL": 2,
    "STREAMING_OPEN_RETRY_INTERVAL": 2,
    "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL": 2,
    "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL": 2,
}
"""Tries and seconds between them, in place of 20 times 5 to 60 seconds."""


def open_hub(
    name: DatasetName, split: str | None, fields: Sequence[str] = (), *, streaming: bool = False
) -> Source:
    """Make the source of a data set on the Hub; without a network, of its copy in the cache."""
    split = split or "train"
    pinned, unreachable = _probe(name)
    spec = str(name)
    rows: Callable[[], Iterable[Any]]
    if streaming and unreachable is None:
        rows = _open_stream(pinned, split, fields)
    elif streaming and pinned.is_pinned:  # its tokens may be in the cache; else reading fails
        rows = partial(_rows, pinned, split, fields, unreachable)
    else:
        pinned, dataset = _load(pinned, split, unreachable)
        rows = partial(_of_columns, dataset, fields)
    determines = [pinned.repo, pinned.config, split, pinned.revision]
    digest = hashlib.sha256(json.dumps(determines).encode()).hexdigest()

    def read() -> Iterator[Record]:
        number = -1
        try:
            with patient_hub():
                for number, row in enumerate(rows()):
                    yield Record(number, row, f"{spec} (row {number})")
        except (ValueError, OverflowError) as error:
            raise unreadable_value(spec, max(number, 0), error) from error
        except (httpx2.HTTPError, HubError, OSError) as error:
            raise DataError(
                f"{spec}: the Hub was lost after row {number}: {error}. Try again when it is back."
            ) from error

    return Source(spec, digest, read, default_text_field=None, has_test_split=False)


def pin(name: DatasetName) -> DatasetName:
    """Return a data set's name with the present commit of its revision."""
    pinned, unreachable = _probe(name)
    if unreachable is not None and name.revision is None:
        try:
            pinned = _load_cached(name, "train")[0]
        except (ValueError, OSError):  # not in the cache, an error when it is opened
            return name
    return pinned


def _rows(name: DatasetName, split: str, fields: Sequence[str], why: str | None) -> Iterable[Any]:
    """Return the rows of a data set's copy in the cache."""
    return _of_columns(_load(name, split, why)[1], fields)


def _of_columns(dataset: Any, fields: Sequence[str]) -> Iterable[Any]:
    columns = columns_for(fields, dataset.features.arrow_schema)
    rows: Iterable[Any] = dataset if columns is None else dataset.select_columns(columns)
    return rows


def _probe(name: DatasetName) -> tuple[DatasetName, str | None]:
    """Ask the Hub; return the data set with its commit, and the reason why it is out of reach."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo = name.repo
    if repo in _WITHDRAWN:
        instead = _INSTEAD_IN_PYTHON if is_called() else _INSTEAD
        raise DataError(f"{_WITHDRAWN[repo]} {instead}")
    try:
        with patient_hub():
            api = HfApi()
            info = api.dataset_info(repo, revision=name.revision, timeout=_PROBE_TIMEOUT_S)
    except OfflineModeIsEnabled:
        return name, "offline mode is on (HF_HUB_OFFLINE)"
    except httpx2.TransportError as error:
        return name, f"the Hub cannot be reached ({error})"
    except HubError as error:
        return name, str(error).rstrip(".")
    except GatedRepoError as error:
        raise DataError(
            f"The data set {repo!r} is gated. Ask for access at "
            f"https://huggingface.co/datasets/{repo}, then set HF_TOKEN to your token"
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(
            f"The data set {repo!r} has no revision {name.revision!r}: expected a branch, a tag or "
            "a commit of 40 digits."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise _not_found(repo) from error
    except HfHubHTTPError as error:
        return name, f"the Hub answered with an error ({error.response.status_code})"
    script = f"{repo.rpartition('/')[2]}.py"
    if any(sibling.rfilename == script for sibling in info.siblings or ()):
        raise DataError(
            f"The data set {repo!r} is a script ({script}), and scripts are no longer run. "
            "Look for a copy in Parquet on the Hub, or download its files and name them."
        )
    return replace(name, revision=info.sha), None


def _not_found(repo: str) -> DataError:
    """Return the error for a data set that does not exist, or a mistyped file name."""
    return DataError(
        f"There is no data set {repo!r} on the Hub that you may read, and no file of that name "
        f"here.{_nearest_file(repo)} If it is private, set HF_TOKEN to your token."
    )


def _nearest_file(repo: str) -> str:
    return nearest(repo, sorted(path.name for path in Path().iterdir()))


def _load(name: DatasetName, split: str, unreachable: str | None) -> tuple[DatasetName, Any]:
    """Load from the Hub, or from the cache if the Hub is out of reach."""
    import datasets

    with _dataset_errors(name, split, unreachable):
        if unreachable:
            return _load_cached(name, split)
        with patient_hub():
            options = {"split": split, "revision": name.revision}
            return name, datasets.load_dataset(name.repo, name.config, **options)


@contextmanager
def _dataset_errors(name: DatasetName, split: str, why: str | None = None) -> Iterator[None]:
    """Turn the errors of `datasets` on opening a data set into a `DataError`."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    repo = name.repo
    try:
        yield
    except DatasetNotFoundError as error:
        raise _not_found(repo) from error
    except (ConnectionError, httpx2.TransportError, HfHubHTTPError, HubError) as error:
        raise _no_network(repo, why or str(error).rstrip(".")) from error
    except (DatasetsError, FileNotFoundError, RuntimeError, ValueError) as error:
        missing = any(sign in str(error) for sign in _CACHE_SIGNS)
        if why and missing:
            raise _no_network(repo, why) from error
        raise _unusable(repo, split, error) from error


def _no_network(repo: str, reason: str) -> DataError:
    """Return the error for a data set that is neither in reach nor in the cache."""
    how = "Unset HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "Connect to the Hub"
    return DataError(
        f"There is no file or folder {repo!r} here.{_nearest_file(repo)} As a data set of the Hub "
        f"it is not in the cache, and {reason}. {how} and try again."
    )


def _open_stream(
    name: DatasetName, split: str, fields: Sequence[str]
) -> Callable[[], Iterable[Mapping[str, Any]]]:
    """Open a data set without reading any of its rows."""
    import datasets

    repo = name.repo
    with _dataset_errors(name, split), patient_hub(), _few_tries():
        splits = datasets.load_dataset(repo, name.config, revision=name.revision, streaming=True)

    def count(part: str) -> int:
        facts = getattr(splits[part].info, "splits", None) or {}
        number = facts[part].num_examples if part in facts else 0
        if not number:
            raise DataError(
                f"--split {split!r} needs the number of rows of {repo}, which is not known "
                "while it is read as it comes: give positions, such as train[:5000], or leave "
                "--streaming out."
            )
        return int(number)

    pieces = resolve(split, list(splits), count)
    return partial(_streamed_rows, splits, pieces, fields)


def _streamed_rows(
    splits: Mapping[str, Any], pieces: tuple[Piece, ...], fields: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    def begin(split: str) -> Iterator[Mapping[str, Any]]:
        rows = splits[split]
        columns = columns_for(fields, rows.features.arrow_schema) if rows.features else None
        return iter(rows if columns is None else rows.select_columns(columns))

    with _few_tries():
        yield from read_pieces(pieces, begin)


# The only uses of private names of `datasets`, which a new version may change.


def _load_cached(name: DatasetName, split: str) -> tuple[DatasetName, Any]:
    """Load the copy of an earlier run in the cache of `datasets`, without any request.

    Without a commit in its name it is the newest one there.
    """
    import datasets
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    repo, copy = name.repo, {"config_name": name.config, "version": "auto", "hash": "auto"}
    if name.revision is not None and not name.is_pinned:
        raise ValueError(f"Couldn't find cache for {name}, a revision that only the Hub knows")
    if name.is_pinned:
        owner, slash, last = repo.rpartition("/")
        folder = f"{owner}{slash and '___'}{camelcase_to_snakecase(last)}"
        root = Path(datasets.config.HF_DATASETS_CACHE) / folder
        copies = sorted(root.glob(f"{name.config or '*'}/*/{name.revision}"))
        if len(copies) != 1:
            raise ValueError(f"Couldn't find cache for {name}")
        copy = dict(zip(copy, copies[0].parts[-3:], strict=True))
    builder = Cache(dataset_name=repo.rpartition("/")[2], repo_id=repo, **copy)
    builder.download_and_prepare()
    return replace(name, revision=builder.hash), builder.as_dataset(split=split)


def _unusable(repo: str, split: str, error: Exception) -> DataError:
    """Return the error for a split or a data set that `datasets` refuses."""
    reason = " ".join(str(error).split())
    if any(sign in reason for sign in _SPLIT_SIGNS):
        return DataError(f"--split {split!r} of the data set {repo!r} cannot be read: {reason}")
    if "BuilderConfig" in reason or "onfig name" in reason or "configurations" in reason:
        return DataError(
            f"The data set {repo!r} holds several configurations, or not the one named: {reason} "
            f"Type: --data {repo}:CONFIG"
        )
    return DataError(f"The data set {repo!r} cannot be used: {reason}")


@contextmanager
def _few_tries() -> Iterator[None]:
    """Make `datasets` give up within a minute; its own settings return afterwards."""
    import datasets

    settings = datasets.config
    before = {name: getattr(settings, name) for name in _FEW_TRIES}
    for name, value in _FEW_TRIES.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
