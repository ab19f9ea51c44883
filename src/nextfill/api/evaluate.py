"""The verb `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from nextfill.config import EvaluateConfig
from nextfill.config.layers import Assignment, keyword_assignments
from nextfill.config.live_objects import NOTHING_LIVE, Live, part_live
from nextfill.config.resolve_inference import evaluate_config
from nextfill.config.signatures import show_settings
from nextfill.data.records.input_files import with_files
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.core.progress import Observer
    from nextfill.evaluation.comparison import Comparison
    from nextfill.evaluation.figures import Evaluation


@overload
def evaluate(
    model: Any, *, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any
) -> Evaluation: ...


@overload
def evaluate(
    model: Any,
    other: str | PathLike[str],
    *others: str | PathLike[str],
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> Comparison: ...


@transformers_as_found()
def evaluate(
    model: Any,
    *others: str | PathLike[str],
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> Evaluation | Comparison:
    """Score documents with a model, or with several side by side.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``). A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``; and the model that it was made from stands beside it as ``base``.
        others: Further models by name, compared on the same documents.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``text_field``, ``block_size``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        Nats and counts, perplexity, bits per byte and the rest, an `Evaluation`; of several models
        a `Comparison`: each one's figures, and the differences of each pair, with intervals.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    keywords, live = part_live({**keywords, "model": model})
    given, problems = keyword_assignments(EvaluateConfig, keywords)
    names = [str(other) for other in others]
    observer = observer or choose_observer(quiet=quiet)
    return evaluate_from(given, problems, names, observer, live)


def evaluate_from(
    given: Sequence[Assignment],
    problems: Sequence[str] = (),
    others: Sequence[str] = (),
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> Evaluation | Comparison:
    """Do what `evaluate` does, from settings that are already taken apart."""
    from nextfill.core.progress import Silent

    observer = observer or Silent()
    try:
        given = with_files(
            given, lambda plain: evaluate_config(plain, problems, others)[0], observer.on_stage
        )
        config, scope = evaluate_config(given, problems, others)
        from nextfill.core.output_file import check_new_file
        from nextfill.evaluation.job import (
            evaluate_model,  # brings PyTorch
            evaluate_models,
        )
        from nextfill.html_report.page import write_evaluation_or_note

        page = None if config.page is None else check_new_file(config.page, "--page")
        told: dict[str, Any] = {
            "scope": scope,
            "on_progress": observer.on_stage,
            "on_note": observer.on_note,
            "live": live,
        }
        found: Evaluation | Comparison
        if others:
            found = evaluate_models(config, others, **told)
        else:
            found = evaluate_model(config, **told)
        if page is not None:
            write_evaluation_or_note(page, config, found, observer.on_note)
        return found
    finally:
        observer.on_end()


show_settings(evaluate, EvaluateConfig)
