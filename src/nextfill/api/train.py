"""The verb `train`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.api.masks import refuse_masks
from nextfill.api.verb import config_with_files, keyword_settings, request_at_level, request_of
from nextfill.config import ShareConfig, TrainConfig
from nextfill.config.command_line.python_messages import in_keywords
from nextfill.config.options import Assignment
from nextfill.config.problems.new_token_problems import new_token_problems
from nextfill.config.problems.rank_problems import for_ranks, launch_problems, pipe_problems
from nextfill.config.problems.training_problems import stream_problems
from nextfill.config.resolve import refuse, train_config
from nextfill.config.resumption import resumed_config
from nextfill.config.settings.tracking_settings import tracker_names, tracker_problems
from nextfill.core.errors import NextfillError, NotSharedError
from nextfill.core.paths import check_utf8_name, user_path
from nextfill.core.progress import Silent
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer
from nextfill.training.distributed.rank_environment import launched_rank

logger = logging.getLogger("nextfill")

if TYPE_CHECKING:
    from nextfill.api.rank_training import RankTraining
    from nextfill.api.verb import Request
    from nextfill.core.progress import Observer
    from nextfill.runs.results import TrainResult
    from nextfill.tracking.tracker_observer import TrackerObserver
    from nextfill.training.engine import Engine


@keyword_settings(TrainConfig)
@transformers_as_found()
def train(
    recipe: str | Path | None = None,
    *,
    resume: bool = False,
    rewarm: bool = False,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> TrainResult:
    """Fine-tune a language model and say how much better it got.

    Args:
        recipe: A TOML recipe, or the name of one that ships.
        resume: Go on with the run in ``out``; with ``max_steps`` or ``epochs`` to other steps than
            it was planned for, which is recorded as a new stage of the run.
        rewarm: With ``resume`` and further steps, begin the learning rate's schedule anew where
            the run is, warm-up and all, and with another ``learning_rate``, ``schedule`` or
            ``warmup_steps`` where one is given. A linear or cosine schedule goes on no other way.
        observer: Gets the progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Any setting, named like its flag. ``data`` and ``eval_data`` also take live
            data; these are saved in the cache, so that the run can be resumed and repeated.
            ``model`` and ``tokenizer`` may be live transformers objects: the model is then trained
            in place.

    Returns:
        The paths of the run, and the model's evaluation before and after.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If data, model or run directory cannot be used.
        NotSharedError: If the model, which is saved, could not be pushed to ``share``; its
            ``result`` is the result of the training.
        Interrupted: On Ctrl-C, after the state is saved.

    Example:
        >>> import nextfill
        >>> result = nextfill.train(max_steps=2, batch_size=2, block_size=32,
        ...                         data="builtin:stdlib-docs", split="train[:50]",
        ...                         eval_split="test[:5]")
        >>> result.steps
        2
    """
    is_command, unheard = "request" in keywords, observer is None and quiet is None
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(TrainConfig, keywords, observer)

    def advise(text: str) -> None:
        words = text if is_command else in_keywords(text, TrainConfig)
        # A script shows no notes, and yet is to hear of a model that does not fit its text.
        is_silent = isinstance(request.observer, Silent) and not is_command
        (logger.warning if unheard and is_silent else request.observer.on_note)(words)

    place = launched_rank()
    world = 1 if place is None else place.world
    make = _settings_of(recipe, request.problems, world, resume=resume, rewarm=rewarm)
    if place is None:
        return _train(request, make, advise, resume=resume, rewarm=rewarm)
    from nextfill.api.rank_training import train_as_rank

    return train_as_rank(place, _train, request, make, advise, resume=resume, rewarm=rewarm)


def _train(
    request: Request,
    make: Callable[[Sequence[Assignment]], TrainConfig],
    advise: Callable[[str], None],
    *,
    resume: bool,
    rewarm: bool,
    launch: RankTraining | None = None,
) -> TrainResult:
    """Train in one process, or as one of several ranks."""
    tracked: TrackerObserver | None = None
    try:
        config = config_with_files(request, make)
        request = request_at_level(request, config.log_level)
        of_trackers = tracker_problems(config.tracking.to, "--track")
        refuse([*stream_problems(config), *new_token_problems(config), *of_trackers])
        refuse_masks(TrainConfig, request.settings, config.model, config.objective, request.live)
        # PyTorch comes only now, so that a mistake in the settings is reported at once.
        from nextfill.html_report.page import write_report_or_note
        from nextfill.hub.model_card import write_card_or_note
        from nextfill.hub.share import check_sharing
        from nextfill.models.trained_parameters import trained_as_before
        from nextfill.training.distributed.ranks import ALONE
        from nextfill.training.job import run_job
        from nextfill.training.turns import one_training

        if launch is None:
            refuse(launch_problems(config))
        else:
            config = launch.checked(config, is_resumed=resume)
        parallel = config.parallel
        config = replace(config, nproc=None, parallel=None)  # of this process, not of the run
        config, engine = _with_engine(config, request.observer)
        if launch is not None:
            engine = launch.engine(engine, parallel)
        tracked = _tracked(config, request.observer, advise)
        check_sharing(config)
        describe = (write_card_or_note, write_report_or_note)

        def on_directory(path: Path) -> None:
            tracked.on_directory(path)
            if launch is not None:
                launch.on_directory(path)

        with one_training(request.observer.on_note), trained_as_before(request.live.model):
            result = run_job(
                config,
                tracked,
                live=request.live,
                resume=resume,
                rewarm=rewarm,
                describe=describe,
                on_advice=advise,
                on_directory=on_directory,
                engine=engine,
                ranks=ALONE if launch is None else launch.ranks,
            )
        return (
            result
            if launch and not launch.ranks.is_first
            else _share(result, config.share, request.observer)
        )
    finally:
        (tracked or request.observer).on_end()


def _tracked(
    config: TrainConfig, observer: Observer, on_failure: Callable[[str], None]
) -> TrackerObserver:
    """Return an observer that has the trackers, where there are some, follow the run."""
    from nextfill.tracking.tracker_observer import TrackerObserver
    from nextfill.tracking.trackers import check_trackers

    check_trackers(tracker_names(config.tracking.to))
    return TrackerObserver(observer, config.tracking, on_failure)


def check_settings(
    recipe: str | Path | None, request: Request, ranks: int, *, resume: bool, rewarm: bool
) -> None:
    """Refuse settings that so many ranks cannot have, before any of them is started."""
    make = _settings_of(recipe, request.problems, ranks, resume=resume, rewarm=rewarm)
    config = config_with_files(request, make)
    refuse([*stream_problems(config), *new_token_problems(config)])
    for_ranks(config, ranks, is_resumed=resume)


def _settings_of(
    recipe: str | Path | None, problems: Sequence[str], ranks: int, *, resume: bool, rewarm: bool
) -> Callable[[Sequence[Assignment]], TrainConfig]:
    """Return what makes the settings of a run by so many ranks of those that were typed."""

    def make(layer: Sequence[Assignment]) -> TrainConfig:
        if resume:
            config = resumed_config(recipe, layer, problems, rewarm=rewarm)
        else:
            config = _new_config(recipe, layer, problems, rewarm=rewarm)
        refuse([*pipe_problems(config, ranks)])  # before it is read
        return config

    return make


def _new_config(
    recipe: str | Path | None, layer: Sequence[Assignment], problems: Sequence[str], *, rewarm: bool
) -> TrainConfig:
    """Return the settings of a new run, whose directory is free."""
    misplaced = ["--rewarm is for a run that is gone on with: give --resume."] if rewarm else []
    config = train_config(recipe, layer, [*problems, *misplaced])
    if config.out is not None:
        from nextfill.runs.directory import check_free

        check_free(check_utf8_name(user_path(config.out, "--out"), "--out"))
    return config


def _with_engine(config: TrainConfig, observer: Observer) -> tuple[TrainConfig, Engine]:
    """Return what takes the steps, and the settings as they hold with it."""
    from nextfill.training.loop import TORCH

    if config.training.backend == "keras":
        from nextfill.keras_engine.backend import keras_config

        config = keras_config(config)  # before Keras is imported
        from nextfill.keras_engine.fit import KERAS

        return config, KERAS
    if backend := config.training.keras_backend:
        observer.on_note(
            f"--keras-backend {backend} changes nothing without --backend keras: PyTorch takes "
            "the steps."
        )
    return config, TORCH


def _share(result: TrainResult, config: ShareConfig, observer: Observer) -> TrainResult:
    """Push the model on request; everything is saved already."""
    if config.repo is None:
        return result
    from nextfill.hub.share import share_run

    observer.on_note(f"sharing to {config.repo}")
    try:
        shared = share_run(result.run, config.repo, config, show_progress=False)
    except NextfillError as error:
        raise NotSharedError(str(error), result) from error
    return replace(result, shared=shared.url)
