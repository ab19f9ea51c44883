"""Data that lie elsewhere than when a run began: where a run's record of its files says they are.

``data.json`` has, for each source that is read from files, the name in ``config.toml``, the files
with their digests, and the place where they were found again, if that is another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import RunError
from nextfill.core.paths import is_address, is_glob, is_there

DATA = "data.json"
"""The file of a run that says which files its data were."""

_OF_CACHE = re.compile(r"\.[0-9a-f]{64}(\.\w+)+$")

NAMES = ("source", "eval_source")
"""The settings that name data."""


def recorded_sources(run: Path) -> list[Mapping[str, Any]]:
    """Return what a run recorded of its sources; nothing where that is missing or damaged."""
    # Not for --help, which reads no run and is to be there at once.
    from nextfill.core.checksums import file_problem, recover_record

    try:
        record = recover_record(run)
        if record is not None and file_problem(run / DATA, record.files.get(DATA)):
            return []
        tree = json.loads((run / DATA).read_bytes())
    except (OSError, ValueError, RecursionError, RunError):
        return []
    listed = tree.get("sources") if isinstance(tree, Mapping) else None
    entries = listed if isinstance(listed, list) else []
    return [
        one
        for one in entries
        if isinstance(one, Mapping)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("files"), Mapping)
    ]


def with_places(layer: Iterable[Assignment], run: Path) -> list[Assignment]:
    """Return a run's settings with its data named by where they are now."""
    places = {
        one["name"]: one["place"]
        for one in recorded_sources(run)
        if isinstance(one.get("place"), str)
    }

    def moved(value: Any, *, is_name: bool) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(one, is_name=key in NAMES) for key, one in value.items()}
        if isinstance(value, list):
            return [moved(one, is_name=False) for one in value]
        return places.get(value, value) if is_name and isinstance(value, str) else value

    if not places:
        return list(layer)
    return [
        replace(one, value=moved(one.value, is_name=one.path[-1] in NAMES))
        if one.path[0] in ("data", "evaluation")
        else one
        for one in layer
    ]


def source_names(config: TrainConfig) -> Iterator[str | None]:
    """Yield the names of a job's data, always in the same order."""
    for one in config.data.each:
        yield from (one.source, one.eval_source)
    for _, further in sorted(config.evaluation.sets.items()):
        yield further.source


def with_names_of(config: TrainConfig, other: TrainConfig) -> TrainConfig:
    """Return settings whose data are named as others', where both are files of this machine.

    Example:
        >>> from nextfill.config import DataConfig
        >>> here, there = __file__, "/once/here/data_places.py"
        >>> moved, old = (TrainConfig(data=DataConfig(source=one)) for one in (here, there))
        >>> with_names_of(moved, old) == old
        True
    """
    if len(config.data.each) != len(other.data.each):
        return config

    def of_pair(one: Any, its: Any) -> Any:
        names = {name: _old_name(getattr(one, name), getattr(its, name)) for name in NAMES}
        return replace(one, **names)

    pairs = zip(config.data.sources, other.data.sources, strict=False)
    whole = config.data if config.data.sources else of_pair(config.data, other.data)
    data = replace(whole, sources=[of_pair(*pair) for pair in pairs])
    sets = {
        key: replace(one, source=_old_name(one.source, other.evaluation.sets[key].source))
        if key in other.evaluation.sets
        else one
        for key, one in config.evaluation.sets.items()
    }
    return replace(config, data=data, evaluation=replace(config.evaluation, sets=sets))


def is_kept_in_cache(name: str) -> bool:
    """Tell the name of data that the cache keeps, which ends in a digest and what they are.

    Example:
        >>> is_kept_in_cache(f"/cache/inputs/download.{64 * 'a'}.csv.gz")
        True
    """
    return _OF_CACHE.search(name) is not None


def _old_name(new: str | None, old: str | None) -> Any:
    return old if new is not None and old is not None and _are_paths(new, old) else new


def _are_paths(new: str, old: str) -> bool:
    """Tell files of this machine, of which the new ones are there.

    Those that the cache keeps of live data are named by their content: another name, other text.
    """
    if is_kept_in_cache(old):
        return False
    there = not is_address(new) and (is_glob(new) or is_there(new))
    return there and Path(old).is_absolute()
