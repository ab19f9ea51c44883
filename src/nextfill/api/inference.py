"""The verbs that use a trained model: `evaluate`, `generate` and `fill`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nextfill.api.masks import refuse_masks
from nextfill.api.rank_evaluation import (
    RankEvaluation,
    evaluate_as_rank,
    rank_of,
    resolved_by,
)
from nextfill.api.verb import config_with_files, keyword_settings, request_at_level, request_of
from nextfill.config import EvaluateConfig, FillConfig, GenerateConfig
from nextfill.config.evaluation_resolution import check_names_data
from nextfill.config.problems.rank_problems import processes_problems
from nextfill.config.resolve import (
    fill_config,
    generate_config,
    names_prompts,
    refuse,
)
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.api.verb import Request
    from nextfill.evaluation.comparison import Comparison
    from nextfill.evaluation.figures import Evaluation


# What every form of a verb has beside its own arguments stands at the verb alone, and in the stub.
@overload
def evaluate(
    model: list[str] | list[Path] | list[str | Path] | tuple[str | PathLike[str], ...],
    *others: str | PathLike[str],
    **keywords: Any,
) -> Comparison: ...


@overload
def evaluate(model: Any, **keywords: Any) -> Evaluation: ...


@overload
def evaluate(
    model: Any, other: str | PathLike[str], *others: str | PathLike[str], **keywords: Any
) -> Comparison: ...


@keyword_settings(EvaluateConfig)
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
            (with ``tokenizer``), or a list of several names. A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``; and the model that it was made from stands beside it as ``base``.
        *others: Further models by name, compared on the same documents.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``text_field``, ``block_size``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        Nats and counts, perplexity, bits per byte and the rest, an `Evaluation`; of several models
        a `Comparison`: each one's figures, and the differences of each pair, with intervals.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    if isinstance(model, list | tuple):
        if len(model) + len(others) < 2:
            raise ConfigError(
                [f"model: found a list of {len(model)}. Expected a model, or several."]
            )
        model, others = model[0], (*model[1:], *others)
    if any(not isinstance(other, str | PathLike) for other in others):
        raise ConfigError(["After a model come names of others. For records, type data=records."])
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(EvaluateConfig, {**keywords, "model": model}, observer)
    names = [str(other) for other in others]
    place = rank_of(request)
    if place is None:
        return _evaluate(request, names)
    return evaluate_as_rank(
        place, lambda of_rank, launch: _evaluate(of_rank, names, launch), request
    )


def check_evaluation(request: Request, names: Sequence[str], world: int) -> None:
    """Refuse settings that so many ranks cannot have, before any of them is started."""
    config, _ = config_with_files(request, resolved_by(request, names, world))
    check_names_data(config, request.settings)


def _evaluate(
    request: Request, names: Sequence[str], launch: RankEvaluation | None = None
) -> Evaluation | Comparison:
    """Evaluate in one process, or as one of several ranks."""
    try:
        world = 1 if launch is None else launch.place.world
        config, scope = config_with_files(request, resolved_by(request, names, world))
        check_names_data(config, request.settings)
        refuse_masks(EvaluateConfig, request.settings, config.model, config.objective, request.live)
        if launch is None:
            refuse([*processes_problems(config.nproc)])
        request = request_at_level(request, config.log_level)
        from nextfill.core.output_file import check_new_file
        from nextfill.evaluation.batch_division import WHOLE
        from nextfill.evaluation.job import (
            evaluate_model,  # brings PyTorch
            evaluate_models,
        )
        from nextfill.html_report.page import write_evaluation_or_note

        if launch is not None:
            config = launch.checked(config)
        config = replace(config, nproc=None)  # of these processes, not of what they evaluate
        page = None
        if config.page is not None:
            page = check_new_file(config.page, "--page", is_only_writer=launch is not None)
        options: dict[str, Any] = {
            "scope": scope,
            "on_progress": request.observer.on_stage,
            "on_note": request.observer.on_note,
            "live": request.live,
            "division": WHOLE if launch is None else launch.division,
        }
        result: Evaluation | Comparison
        if names:
            result = evaluate_models(config, names, **options)
        else:
            result = evaluate_model(config, **options)
        if page is not None:
            write_evaluation_or_note(page, config, result, request.observer.on_note)
        return result
    finally:
        request.observer.on_end()


@overload
def generate(
    model: Any, prompt: str | None = None, *, prompts: None = None, **keywords: Any
) -> list[dict[str, str]]: ...


@overload
def generate(
    model: Any, prompt: list[str] | tuple[str, ...], *, prompts: None = None, **keywords: Any
) -> list[list[dict[str, str]]]: ...


@overload
def generate(
    model: Any, prompt: None = None, *, prompts: str | Path, **keywords: Any
) -> list[list[dict[str, str]]]: ...


@overload
def generate(
    model: Any, prompt: Sequence[str] | None = None, *, prompts: Any = None, **keywords: Any
) -> list[Any]: ...


@keyword_settings(GenerateConfig)
@transformers_as_found()
def generate(
    model: Any,
    prompt: str | Sequence[str] | None = None,
    *,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> list[Any]:
    """Continue a text with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``max_new_tokens``, ``top_k``, ``seed``, ...

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline. With a ``suffix`` the text ends with that,
        and what was filled in before it also stands alone, as ``middle``.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.

    Example:
        >>> import nextfill
        >>> model = "builtin:base-causal"
        >>> texts = nextfill.generate(model, "Return the", num_beams=3, num_samples=2,
        ...                           max_new_tokens=5, precision="fp32")
        >>> len(texts), texts[0]["generated_text"][:10]
        (2, 'Return the')
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(GenerateConfig, {**keywords, "model": model}, observer)
    from_file = names_prompts(GenerateConfig, request.settings)
    has_both = from_file and _is_given(prompt)
    both = ["Give prompts, or --prompts and a file, not both."] if has_both else []
    config = generate_config(request.settings, [*request.problems, *both])
    request = request_at_level(request, config.log_level)
    texts = [prompt or ""] if isinstance(prompt, str | None) else [*prompt]
    from_file = config.prompts.source is not None
    is_one = not from_file and isinstance(prompt, str | None)
    if streamer is not None and not (is_one and config.generation.num_samples == 1):
        raise ConfigError(["streamer is told of one text: give one prompt and no num_samples."])
    from nextfill.core.output_file import check_new_file, write_results
    from nextfill.generation.generate import text_lines
    from nextfill.generation.prompts import name_prompts, read_prompts
    from nextfill.generation.session import open_session

    out = None if config.out is None else check_new_file(config.out)
    prompts = read_prompts(config.prompts) if from_file else name_prompts(texts)
    results = []
    try:
        session = open_session(config, request.live)
        for note in session.notes:
            request.observer.on_note(note)
        on_progress = _progress_of_several(request.observer, "generating")
        each = session.texts(prompts, config, on_text=streamer, on_progress=on_progress)
        for continuations in each if out is None else write_results(out, prompts, each, text_lines):
            results.append(continuations)
            request.on_result(continuations)
    finally:
        request.observer.on_end()
    return results[0] if is_one else results


def _progress_of_several(observer: Observer, label: str) -> Callable[[int, int], None]:
    """Return a callback that reports texts done; of a single text there is nothing to report."""

    def on_progress(done: int, total: int) -> None:
        if total > 1:
            observer.on_stage(label, done, total)

    return on_progress


@keyword_settings(FillConfig)
@transformers_as_found()
def fill(
    model: Any,
    text: str | Sequence[str] | None = None,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> list[Any]:
    """Fill the blanks of a text with a masked model.

    Args:
        model: A run directory, folder or Hub id, or a live transformers model (with
            ``tokenizer``).
        text: A text, or several; or none, but a file of them as ``prompts``. A blank is the
            model's own mask token, ``<mask>``, ``[MASK]``, or three underscores or more.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``top_k``, ``targets``, ``answer_tokens``, ...

    Returns:
        For one text with one blank a list of answers, likeliest first, each with its ``score``,
        ``token``, ``token_str`` and the ``sequence`` that it completes; with several blanks a list
        of such lists; for several texts a list of all that. This is the shape of transformers'
        fill-mask pipeline.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a text cannot be used.
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(FillConfig, {**keywords, "model": model}, observer)
    from_file = names_prompts(FillConfig, request.settings)
    problems = _text_problems(text, from_file=from_file)
    config = fill_config(request.settings, [*request.problems, *problems])
    request = request_at_level(request, config.log_level)
    from nextfill.core.output_file import check_new_file, write_results
    from nextfill.filling.fill import (
        answer_lines,
        open_filler,  # brings PyTorch
    )
    from nextfill.generation.prompts import name_prompts, read_prompts

    out = None if config.out is None else check_new_file(config.out)
    own_texts = [text] if isinstance(text, str) else [] if text is None else [*text]
    texts = read_prompts(config.prompts) if from_file else name_prompts(own_texts, "text")
    results = []
    try:
        filler = open_filler(config, request.live)
        for note in filler.loaded.notes:
            request.observer.on_note(note)
        each = filler.fill(texts, on_progress=_progress_of_several(request.observer, "filling"))
        for filled in each if out is None else write_results(out, texts, each, answer_lines):
            results.append(filled.plain)
            request.on_result(filled)
    finally:
        request.observer.on_end()
    return results[0] if isinstance(text, str) and not from_file else results


def _is_given(texts: object) -> bool:
    """Tell a text or several from none; what has no plain truth, such as an array, is given."""
    return bool(texts) if isinstance(texts, str | list | tuple) else texts is not None


def _text_problems(text: object, *, from_file: bool) -> Iterator[str]:
    """Yield why the texts to fill cannot be used, or that there are none."""
    if from_file and _is_given(text):
        yield "Give texts, or --prompts and a file, not both."
    if not from_file and text is None:
        yield 'Give a text with a blank, such as "The ___ is cold.", or --prompts and a file.'
