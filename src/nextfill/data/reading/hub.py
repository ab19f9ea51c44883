"""Data sets of the Hugging Face Hub, through the `datasets` library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nextfill.data.document import Record, Source
from nextfill.data.reading.choice import column_for
from nextfill.data.reading.tables import unreadable_value
from nextfill.errors import DataError, nearest

# One quick question before `load_dataset`, which tries an unreachable network for 23 seconds.
_PROBE_TIMEOUT_S = 10.0

_INSTEAD = "Type instead: --data dany0407/eli5_category --text-field answers.text"
_GONE = {
    "eli5": f"'eli5' is defunct: its source was withdrawn. {_INSTEAD}",
    "eli5_category": f"'eli5_category' is a script, which is no longer run. {_INSTEAD}",
}

# What the messages of `datasets` say when it is the split that cannot be used.
_SPLIT_SIGNS = (
    "nknown split",
    "corresponds to no data",
    "instruction format",
    "Percent slice",
    "rounding",
)


def open_hub(spec: str, split: str | None, text_field: str | None = None) -> Source:
    """Make the source of a data set on the Hub; without a network, of its copy in the cache.

    Args:
        spec: ``name`` or ``owner/name``, with ``:config`` where there is more than one.
        split: As `datasets.load_dataset` has it; None reads ``train``.
        text_field: Path of the text, if the user names one: then only its column is read.

    Returns:
        The source.

    Raises:
        DataError: If the data set cannot be had; says why and what to type.
    """
    repo, _, config = spec.partition(":")
    if repo in _GONE:
        raise DataError(_GONE[repo])
    unreachable = _probe(repo)
    dataset = _load(repo, config or None, split or "train", unreachable)
    determines = [spec, split or "train", dataset._fingerprint]
    digest = hashlib.sha256(json.dumps(determines).encode()).hexdigest()
    column = column_for(text_field, dataset.features.arrow_schema)
    rows = dataset if column is None else dataset.select_columns(column)

    def read() -> Iterator[Record]:
        number = 0
        try:
            for number, row in enumerate(rows):
                yield Record(number, row, f"{spec} (row {number})")
        except (ValueError, OverflowError) as error:
            raise unreadable_value(spec, number, error) from error

    return Source(spec, digest, read, default_text_field=None, has_test_split=False)


def _probe(repo: str) -> str | None:
    """Ask the Hub for the data set; return why it cannot be reached, or None."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    name = repo.rpartition("/")[2]
    try:
        info = HfApi().dataset_info(repo, timeout=_PROBE_TIMEOUT_S)
    except OfflineModeIsEnabled:
        return "offline mode is on (HF_HUB_OFFLINE)"
    except httpx2.TransportError as error:
        return f"the Hub cannot be reached ({error})"
    except GatedRepoError as error:
        raise DataError(
            f"The data set {repo!r} is gated. Ask for access at "
            f"https://huggingface.co/datasets/{repo}, then set HF_TOKEN to your token"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise _not_found(repo) from error
    except HfHubHTTPError as error:
        return f"the Hub answered with an error ({error.response.status_code})"
    files = {sibling.rfilename for sibling in info.siblings or ()}
    if f"{name}.py" in files:
        raise DataError(
            f"The data set {repo!r} is a script ({name}.py), and scripts are no longer run. "
            "Look for a copy in Parquet on the Hub, or download its files and name them."
        )
    return None


def _not_found(repo: str) -> DataError:
    """Return the error for a data set that does not exist, or a mistyped file."""
    here = sorted(path.name for path in Path().iterdir())
    return DataError(
        f"There is no data set {repo!r} on the Hub that you may read, and no file of that name "
        f"here.{nearest(repo, here)} If it is private, set HF_TOKEN to your token."
    )


def _load(repo: str, config: str | None, split: str, unreachable: str | None) -> Any:
    """Load from the Hub, or from the cache if the Hub is out of reach."""
    import datasets
    import httpx2
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        if unreachable:
            return _cached(repo, config, split)
        return datasets.load_dataset(repo, config, split=split)
    except DatasetNotFoundError as error:
        raise _not_found(repo) from error
    except (ConnectionError, httpx2.TransportError, HfHubHTTPError) as error:
        raise _no_network(repo, unreachable or str(error)) from error
    except (DatasetsError, FileNotFoundError, RuntimeError, ValueError) as error:
        if unreachable and "find cache" in str(error):
            raise _no_network(repo, unreachable) from error
        raise _unusable(repo, split, error) from error


def _cached(repo: str, config: str | None, split: str) -> Any:
    """Load what an earlier run has left in the cache of `datasets`, without any request."""
    from datasets.packaged_modules.cache.cache import Cache

    found = Cache(
        dataset_name=repo.rpartition("/")[2],
        repo_id=repo,
        config_name=config,
        version="auto",
        hash="auto",
    )
    found.download_and_prepare()
    return found.as_dataset(split=split)


def _no_network(repo: str, reason: str) -> DataError:
    """Return the error for a data set that is neither in reach nor in the cache."""
    how = "Unset HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "Connect to the Hub"
    here = sorted(path.name for path in Path().iterdir())
    return DataError(
        f"The data set {repo!r} is not in the cache, and {reason}. {how} and try again, "
        f"or name a local file (there is none called {repo!r} here).{nearest(repo, here)}"
    )


def _unusable(repo: str, split: str, error: Exception) -> DataError:
    """Turn the reasons of `datasets` into one message."""
    reason = " ".join(str(error).split())
    if any(sign in reason for sign in _SPLIT_SIGNS):
        return DataError(f"--split {split!r} of the data set {repo!r} cannot be read: {reason}")
    if "BuilderConfig" in reason or "onfig name" in reason or "configurations" in reason:
        return DataError(
            f"The data set {repo!r} holds several configurations, or not the one named: {reason} "
            f"Type: --data {repo}:CONFIG"
        )
    return DataError(f"The data set {repo!r} cannot be used: {reason}")
