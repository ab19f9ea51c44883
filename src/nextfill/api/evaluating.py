"""The verb `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nextfill.config import (
    EvaluateConfig,
)
from nextfill.data.live.given import with_files
from nextfill.given import Given, keywords_to_given
from nextfill.models.live import NOTHING_LIVE, Live, part_live
from nextfill.models.tokenizer import transformers_as_found
from nextfill.resolve.evaluating import evaluate_config
from nextfill.signature import show_settings
from nextfill.training.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.infer.figures import Evaluation
    from nextfill.training.progress import Observer


@transformers_as_found()
def evaluate(
    model: Any,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> Evaluation:
    """Score documents with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``). A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``text_field``, ``block_size``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        Nats and counts, perplexity, bits per byte and the rest.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    keywords, live = part_live({**keywords, "model": model})
    given, problems = keywords_to_given(EvaluateConfig, keywords)
    return evaluate_from(given, problems, observer or choose_observer(quiet=quiet), live)


def evaluate_from(
    given: Sequence[Given],
    problems: Sequence[str] = (),
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> Evaluation:
    """Do what `evaluate` does, from settings that are already taken apart."""
    from nextfill.training.progress import Silent

    observer = observer or Silent()
    try:
        given = with_files(
            given, lambda plain: evaluate_config(plain, problems)[0], observer.on_stage
        )
        config, scope = evaluate_config(given, problems)
        from nextfill.infer.job import evaluate_model  # brings PyTorch

        return evaluate_model(
            config,
            scope=scope,
            on_progress=observer.on_stage,
            on_note=observer.on_note,
            live=live,
        )
    finally:
        observer.on_end()


show_settings(evaluate, EvaluateConfig)
