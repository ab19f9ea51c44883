"""Held-out documents that a run, taken as a model, was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.amounts import part_of, verb
from nextfill.core.checksums import check_files
from nextfill.core.errors import ConfigError, DataError, RunError
from nextfill.core.progress import Progress
from nextfill.data.contamination.leaks import Leaks, cached_leaks
from nextfill.data.file_record import SourceFiles, expected_files
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_data
from nextfill.data.store.cache_place import Cache
from nextfill.data.store.store_cache import cache_place
from nextfill.models.folder.location import run_of

_MOST_NAMED = 3


Known = Mapping[str, Mapping[str, int | None]]
"""By run directory: held-out documents that were looked for in what the run was trained on, as
``checked``, and those that are there, as ``known``; None where that cannot be told."""


def training_part(
    run: Path,
    tokenizer: Any,
    *,
    cache: Cache,
    on_note: Callable[[str], None],
    on_progress: Progress,
) -> Part | None:
    """Return a run's training part in the tokens of a model; None if its data have changed."""
    recorded = build(TrainConfig, [read_run_settings(run)])
    try:
        prepared = prepare_data(
            recorded.data,
            tokenizer,
            seed=recorded.seed,
            cache=cache,
            on_progress=on_progress,
            on_source=SourceFiles(
                expected_files(run, recorded, recorded),
                lambda name, found: DataError(f"its data have changed since: {found}"),
            ),
            tells_held_out=False,
            replay=recorded.replay,
        )
    except (DataError, ConfigError) as error:
        on_note(f"not compared with what {run} was trained on: {error}")
        return None
    recorded_digests = run_digests(run)
    if any(store.meta["content_sha256"] not in recorded_digests for store in prepared.stores):
        on_note(f"not compared with what {run} was trained on: its data have changed since")
        return None
    if prepared.portions is not None:
        on_note(f"compared with the first portion of what {run} was trained on")
    return prepared.train


def run_digests(run: Path) -> Sequence[str]:
    """Return the digests of the data that a run read."""
    check_files(run, lambda name: name == "ledger.json")
    digests: Sequence[str] = json.loads((run / "ledger.json").read_text("utf-8"))["content_sha256"]
    return digests


def find_known_documents(
    config: TrainConfig,
    tokenizer: Any,
    held_out: Part,
    *,
    on_note: Callable[[str], None],
    on_progress: Progress,
) -> Known:
    """Find and tell the held-out documents that the model to train has learnt, where it is a run.

    So has the model that this run began with, if that is a run, and so on.
    """
    cache = cache_place(config.cache_dir, config.cache_limit, config.store)
    name, seen = config.model.name, set[Path]()
    found: dict[str, Mapping[str, int | None]] = {}
    while (run := run_of(name)) is not None and run not in seen:
        seen.add(run)
        number = len(held_out.documents)
        try:
            name = build(TrainConfig, [read_run_settings(run)]).model.name
            train = training_part(
                run, tokenizer, cache=cache, on_note=on_note, on_progress=on_progress
            )
        except RunError as error:  # its records are damaged, its model may be whole
            on_note(f"not compared with what {run} was trained on: {error}")
            return {**found, str(run): {"known": None, "checked": number}}
        if train is None:
            found[str(run)] = {"known": None, "checked": number}
            on_note(
                "documents that are held out now may be among those: figures before and after "
                "then flatter the model. --eval-data names text that it has not read"
            )
        else:
            leaks = cached_leaks(
                train,
                held_out,
                tokenizer,
                lambda done, total: on_progress("looking for known documents", done, total),
            )
            known = leaks.exact + leaks.near
            found[str(run)] = {"known": known, "checked": leaks.checked}
            if known:
                on_note(_note(run, leaks, held_out))
    return found


def _note(run: Path, leaks: Leaks, held_out: Part) -> str:
    count = leaks.exact + leaks.near
    names = [held_out.store.record_name(leak.record) for leak in leaks.pairs]
    named = list(dict.fromkeys(name for name in names if name))
    more = " ..." if len(named) > _MOST_NAMED else ""
    which = f" ({', '.join(named[:_MOST_NAMED])}{more})" if named else ""
    return (
        f"{part_of(count, leaks.checked, 'held-out document')}{which} {verb(count, 'is', 'are')} "
        f"text that {run} was trained on: figures before and after flatter the model. Give the "
        "settings and the seed of that run, which hold out what it held out, or name text that it "
        "has not read with --eval-data"
    )
