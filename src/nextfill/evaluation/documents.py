"""The documents of an evaluation, and leaks of them into the training data of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from nextfill.config import EvaluateConfig, Scope, TrainConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.progress import Progress
from nextfill.core.shell_command import shell_command
from nextfill.data.contamination.leaks import Leaks, cached_leaks, drop_documents
from nextfill.data.copies import mostly_copies
from nextfill.data.file_record import SourceFiles, expected_files
from nextfill.data.parts import Part, refuse_contexts
from nextfill.data.preparation import prepare_data, prepare_part
from nextfill.data.store.store_cache import cache_place
from nextfill.evaluation.batch_division import WHOLE, BatchDivision
from nextfill.evaluation.known_documents import run_digests, training_part
from nextfill.models.folder.location import run_of
from nextfill.models.loaded_model import LoadedModel

_CHANGED = (
    "The data of {} have changed since it was trained, so that what it trained on may now be held "
    "out"
)
_OTHERS = "Bring the old data back, or name others with --data."


class EvaluationData:
    """The same documents for every model of an evaluation, the first in ``config``.

    ``division`` says which of their batches this process reads.
    """

    def __init__(
        self,
        config: EvaluateConfig,
        others: Sequence[str],
        scope: Scope,
        on_progress: Progress,
        on_note: Callable[[str], None],
        *,
        division: BatchDivision = WHOLE,
    ) -> None:
        self.config, self._scope, self.division = config, scope, division
        self.on_progress, self.on_note = on_progress, on_note
        self._names = (config.model.name, *others)
        self._leaks: dict[str, Leaks] | None = None

    @property
    def leaks(self) -> Mapping[str, Leaks]:
        """The leaks into the training data of each model, where those are known."""
        return self._leaks or {}

    def tokenized_for(self, loaded: LoadedModel) -> Part:
        """Return the documents in the tokens of a model; the first call also searches for leaks."""
        config = self.config
        cache = cache_place(config.cache_dir, config.cache_limit, config.store)
        data = config.data.keeping(config.evaluation.by)
        train: Part | None = None
        if self._scope == "all":
            part = prepare_part(
                *(data, loaded.tokenizer),
                cache=cache,
                on_progress=self.on_progress,
                objective=loaded.objective,
            )
        else:
            prepared = prepare_data(
                data,
                loaded.tokenizer,
                seed=config.seed,
                cache=cache,
                on_progress=self.on_progress,
                on_source=self._own_files(),
                objective=loaded.objective,
            )
            part, train = prepared.held_out, prepared.train
        refuse_contexts(loaded.objective, part)
        self._note_documents(loaded.name)
        if self._scope == "all" and (words := mostly_copies(part, loaded.tokenizer)):
            self.on_note(f"the {amount(part.num_texts, 'document')} are {words}")
        if part.context_tokens:
            self.on_note(
                f"{part.context_tokens:,} of their {part.num_tokens:,} tokens are context and are "
                "not scored"
            )
        if self._leaks is None:
            self._leaks = self._find_leaks(loaded, part, train)
        if not config.evaluation.drop_leaks:
            return part
        # Documents have the same numbers whatever the tokenizer.
        return drop_documents(
            part, reduce(np.union1d, (one.documents for one in self._leaks.values()))
        )

    def _own_files(self) -> SourceFiles:
        """Return the check of the files of the run that is scored on what it held out."""
        run = run_of(self._names[0]) if self._scope == "own" else None
        if run is None:
            return SourceFiles()
        recorded = build(TrainConfig, [read_run_settings(run)])

        def refusal(name: str, found: str) -> RunError:
            whole = shell_command("evaluate", run, "--data", Path(name))
            return RunError(f"{_CHANGED.format(run)}: {found}. {_OTHERS[:-1]}, as in: {whole}")

        return SourceFiles(expected_files(run, recorded, recorded), refusal)

    def _find_leaks(self, loaded: LoadedModel, part: Part, train: Part | None) -> dict[str, Leaks]:
        """Search for the documents in the training data of each model that is a run."""
        leaks = {}
        for at, name in enumerate(self._names):
            run = run_of(name)
            if run is None:
                continue
            own_train = train if at == 0 and self._scope == "own" else None
            self._check_data(run, part, same_run=own_train is not None)
            run_train = own_train or training_part(
                run,
                loaded.tokenizer,
                cache=cache_place(
                    self.config.cache_dir, self.config.cache_limit, self.config.store
                ),
                on_note=self.on_note,
                on_progress=self.on_progress,
            )
            if run_train is not None:
                leaks[name] = self._leaks_into(run_train, part, loaded, name)
        drops = self.config.evaluation.drop_leaks
        if not leaks and drops and train is not None:
            name = self._names[0]
            leaks[name] = self._leaks_into(train, part, loaded, name)
        if not leaks and drops:
            raise ConfigError(
                [
                    "--drop-leaks: what the model was trained on is not known. It is known of a "
                    "run, and where --test-size or --eval-data divide the data; else leave it out."
                ]
            )
        return leaks

    def _check_data(self, run: Path, part: Part, *, same_run: bool) -> None:
        """Refuse changed data of the run that is evaluated, and note documents a run may know."""
        same_data = part.store.meta["content_sha256"] in run_digests(run)
        if same_run and not same_data:
            raise RunError(f"{_CHANGED.format(run)}. {_OTHERS}")
        if same_data and self._scope != "own":
            settings = "--data" if self._scope == "all" else "settings that divide the data anew"
            self.on_note(
                f"{run} was trained on most of these documents: the figures flatter it. "
                f"Without {settings}, those that it held out are scored."
            )

    def _leaks_into(self, train: Part, part: Part, loaded: LoadedModel, name: str) -> Leaks:
        leaks = cached_leaks(
            train,
            part,
            loaded.tokenizer,
            lambda done, total: self.on_progress("looking for leaks", done, total),
        )
        if leaks.exact or leaks.near:
            note = leaks.in_words(part, train, dropped=self.config.evaluation.drop_leaks)
            self.on_note(note if len(self._names) == 1 else f"{name}: {note}")
        return leaks

    def _note_documents(self, model: str) -> None:
        data = self.config.data
        documents = {"all": "all", "own": "the documents that it held out"}
        scope = documents.get(self._scope, "what is held out")
        split = ", ".join(dict.fromkeys(one.split for one in data.each if one.split))
        name = data.name
        others = dict.fromkeys(one.eval_source for one in data.each if one.eval_source)
        if self._scope != "all" and len(others) == 1 and all(one.eval_source for one in data.each):
            scope, name = "all", next(iter(others))
            split = ", ".join(dict.fromkeys(s for one in data.each if (s := one.eval_split)))
        self.on_note(f"scoring {model} on {scope} of {name}{f' ({split})' if split else ''}")
