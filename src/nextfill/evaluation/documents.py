"""Which documents an evaluation is over, and which of them the models were trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from nextfill.config import EvaluateConfig, Scope, TrainConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.errors import ConfigError, DataError, RunError
from nextfill.core.manifest import RECORD, check_files
from nextfill.core.paths import user_path
from nextfill.data.contamination.leak_cache import cached_leaks
from nextfill.data.contamination.leaks import Leaks, without
from nextfill.data.parts import Part
from nextfill.data.preparation import Progress, prepare_data, prepare_part
from nextfill.data.store.store_cache import cache_dir
from nextfill.models.loaded_model import LoadedModel


class EvaluatedDocuments:
    """Finds the same documents for every model that is evaluated.

    Args:
        config: The settings, with the first model.
        others: The names of further ones.
        scope: Which documents of its data.
        on_progress: Told of each stage.
        on_note: Told what is scored.
    """

    def __init__(
        self,
        config: EvaluateConfig,
        others: Sequence[str],
        scope: Scope,
        on_progress: Progress,
        on_note: Callable[[str], None],
    ) -> None:
        self._config, self._scope = config, scope
        self._on_progress, self._on_note = on_progress, on_note
        self._names = (config.model.name, *others)
        self._leaks: dict[str, Leaks] | None = None

    @property
    def leaks(self) -> Mapping[str, Leaks]:
        """By model what stands in its training data, too, where those are known."""
        return self._leaks or {}

    def of(self, loaded: LoadedModel) -> Part:
        """Return the documents, tokenized for a model."""
        config, scope = self._config, self._scope
        cache = cache_dir(config.cache_dir)
        data = config.data.keeping(config.evaluation.by)
        train: Part | None = None
        if scope == "all":
            part = prepare_part(data, loaded.tokenizer, cache=cache, on_progress=self._on_progress)
        else:
            prepared = prepare_data(
                data,
                loaded.tokenizer,
                seed=config.seed,
                cache=cache,
                on_progress=self._on_progress,
            )
            part, train = prepared.held_out, prepared.train
        self._on_note(self._what(loaded.name))
        if self._leaks is None:
            self._leaks = self._find_leaks(loaded, part, train)
        if not config.evaluation.drop_leaks:
            return part
        # Documents have the same numbers whatever the tokenizer.
        return without(part, reduce(np.union1d, (one.documents for one in self._leaks.values())))

    def _find_leaks(self, loaded: LoadedModel, part: Part, train: Part | None) -> dict[str, Leaks]:
        """Look for the documents in what each run was trained on."""
        found = {}
        for at, name in enumerate(self._names):
            run = run_of(name)
            if run is None:
                continue
            own = train if at == 0 and self._scope == "own" else None
            self._check_data(run, part, own=own is not None)
            trained_on = own or self._trained_on(run, loaded)
            if trained_on is not None:
                found[name] = self._leaks_in(trained_on, part, loaded, name)
        drops = self._config.evaluation.drop_leaks
        if not found and drops and train is not None:
            name = self._names[0]
            found[name] = self._leaks_in(train, part, loaded, name)
        if not found and drops:
            raise ConfigError(
                [
                    "--drop-leaks: what the model was trained on is not known. It is known of a "
                    "run, and where --test-size or --eval-data divide the data; else leave it out."
                ]
            )
        return found

    def _check_data(self, run: Path, part: Part, *, own: bool) -> None:
        same = part.store.meta["content_sha256"] in _known_content(run)
        if own and not same:
            raise RunError(
                f"The data of {run} have changed since it was trained, so that what it trained on "
                "may now be held out. Bring the old data back, or name others with --data."
            )
        if same and self._scope != "own":
            settings = "--data" if self._scope == "all" else "settings that divide the data anew"
            self._on_note(
                f"{run} was trained on most of these documents: the figures flatter it. "
                f"Without {settings}, those that it held out are scored."
            )

    def _trained_on(self, run: Path, loaded: LoadedModel) -> Part | None:
        """Return what a run was trained on, in the tokens of the model at hand."""
        recorded = build(TrainConfig, [read_run_settings(run)])
        try:
            prepared = prepare_data(
                recorded.data,
                loaded.tokenizer,
                seed=recorded.seed,
                cache=cache_dir(self._config.cache_dir),
                on_progress=self._on_progress,
            )
        except (DataError, ConfigError) as error:
            self._on_note(f"not compared with what {run} was trained on: {error}")
            return None
        known = _known_content(run)
        if any(store.meta["content_sha256"] not in known for store in prepared.stores):
            self._on_note(
                f"not compared with what {run} was trained on: its data have changed since"
            )
            return None
        return prepared.train

    def _leaks_in(self, train: Part, part: Part, loaded: LoadedModel, name: str) -> Leaks:
        found = cached_leaks(
            train,
            part,
            loaded.tokenizer,
            lambda done, total: self._on_progress("looking for leaks", done, total),
        )
        if found.exact or found.near:
            told = found.told(dropped=self._config.evaluation.drop_leaks)
            self._on_note(told if len(self._names) == 1 else f"{name}: {told}")
        return found

    def _what(self, model: str) -> str:
        """Say which documents are scored."""
        data = self._config.data
        held_out = "the documents that it held out" if self._scope == "own" else "what is held out"
        split = ", ".join(dict.fromkeys(one.split for one in data.each if one.split))
        what = "all" if self._scope == "all" else held_out
        return f"scoring {model} on {what} of {data.name}{f' ({split})' if split else ''}"


def run_of(model: str) -> Path | None:
    """Return the run directory that a model is, or lies in; None for any other model."""
    path = user_path(model, "MODEL")
    for folder in (path, path.parent) if path.name == "model" else (path,):
        began = (folder / name for name in ("ledger.json", RECORD))
        if (folder / "config.toml").is_file() and any(file.is_file() for file in began):
            return folder
    return None


def _known_content(run: Path) -> Sequence[str]:
    """Return the digests of the data that a run read."""
    check_files(run, lambda name: name == "ledger.json")
    found: Sequence[str] = json.loads((run / "ledger.json").read_text("utf-8"))["content_sha256"]
    return found
