"""The verbs `train`, `prepare`, `evaluate`, `generate`, `report`: each is also a command.

Keyword arguments are named like the flags: ``--learning-rate`` is ``learning_rate``. ``data`` and
``eval_data`` take, beside a name, the data themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.config import (
    EvaluateConfig,
    GenerateConfig,
    PrepareConfig,
    TrainConfig,
    TxtMode,
)
from nextfill.data.live.given import with_files
from nextfill.errors import ConfigError
from nextfill.models.live import NOTHING_LIVE, Live, part_live
from nextfill.models.tokenizer import transformers_as_found
from nextfill.paths import user_path
from nextfill.recipe import Given, build, full_path, keywords_to_given
from nextfill.resolve import evaluate_config, generate_config, resumed_config, train_config
from nextfill.signature import show_settings
from nextfill.training.notebook import choose_observer, import_tqdm, in_notebook

if TYPE_CHECKING:
    from nextfill.infer.figures import Evaluation
    from nextfill.results import PrepareResult, TrainResult
    from nextfill.training.progress import Observer

PROMPTS = ("prompts", "source")


@transformers_as_found()
def train(
    recipe: str | Path | None = None,
    *,
    resume: bool = False,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> TrainResult:
    """Fine-tune a language model and say how much better it got.

    Args:
        recipe: A TOML recipe, or the name of one that ships.
        resume: Go on with the run in ``out``.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Any setting, named like its flag. ``data`` and ``eval_data`` also take live
            data; they are kept in the cache, so that the run can be resumed and repeated.
            ``model`` and ``tokenizer`` may be live transformers objects: the model is then trained
            in place.

    Returns:
        Where everything lies, and the model's evaluation before and after.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If data, model or run directory cannot be used.
        Interrupted: On Ctrl-C, after the state is saved.

    Example:
        >>> import nextfill
        >>> result = nextfill.train(max_steps=2, batch_size=2, block_size=32,
        ...                         data="builtin:stdlib-docs", split="train[:50]",
        ...                         eval_split="test[:5]")
        >>> result.steps
        2
    """
    keywords, live = part_live(keywords)
    given, problems = keywords_to_given(TrainConfig, keywords)
    observer = observer or choose_observer(quiet=quiet)
    return train_from(recipe, given, problems, resume=resume, observer=observer, live=live)


def train_from(
    recipe: str | Path | None,
    given: Sequence[Given],
    problems: Sequence[str] = (),
    *,
    resume: bool = False,
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> TrainResult:
    """Do what `train` does, from settings that are already taken apart."""
    from nextfill.training.progress import Silent
    from nextfill.training.run import check_free

    def settle(given: Sequence[Given]) -> TrainConfig:
        config = (resumed_config if resume else train_config)(recipe, given, problems)
        if not resume and config.out is not None:
            check_free(user_path(config.out, "--out"))
        return config

    observer = observer or Silent()
    try:
        config = settle(with_files(given, settle, observer.on_stage))
        # PyTorch comes only now, so that a mistake in the settings is told at once.
        from nextfill.reporting.page import write_report_or_note
        from nextfill.results import train_result
        from nextfill.training.fit import continue_run, fit, start_run
        from nextfill.training.ready import get_ready

        ready = get_ready(config, observer, live)
        if resume:
            run = continue_run(ready, Path(str(config.out)), observer)
        else:
            run = start_run(ready, observer)
        fit(ready, run, observer)
        write_report_or_note(run.path, observer.on_note)
    finally:
        observer.on_end()
    return train_result(run.path)


def read_records(
    data: str | Path, *, split: str | None = None, txt: TxtMode = "paragraph"
) -> Iterator[Mapping[str, Any] | str]:
    r"""Go through the records of data as the other verbs read them, to look at or to change.

    Args:
        data: A file, a Hub id or ``builtin:NAME``.
        split: A slice, such as ``train[:100]``.
        txt: What a document is in a .txt file: ``paragraph``, ``line`` or ``file``.

    Returns:
        An iterator of records: dicts, or texts where the data are plain text.

    Raises:
        NextfillError: If the data cannot be used.

    Example:
        >>> _ = Path("notes.txt").write_text("One note.\n\nAnother.")
        >>> list(read_records("notes.txt"))
        ['One note.', 'Another.']
    """
    from nextfill.data.reading.sources import open_source

    if in_notebook():
        import_tqdm()
    source = open_source(str(data), split=split, txt=txt)
    return (record.value for record in source.read())


@transformers_as_found()
def prepare(
    *, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any
) -> PrepareResult:
    """Read, tokenize and divide data without training.

    Args:
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``tokenizer`` or ``model``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        Where the tokens lie, and the ledger.

    Raises:
        NextfillError: If the data or the tokenizer cannot be used.
    """
    keywords, live = part_live(keywords)
    given, problems = keywords_to_given(PrepareConfig, keywords)
    return prepare_from(given, problems, observer or choose_observer(quiet=quiet), live)


def prepare_from(
    given: Sequence[Given],
    problems: Sequence[str] = (),
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> PrepareResult:
    """Do what `prepare` does, from settings that are already taken apart."""
    from nextfill.data.frames import evaluation_frame, plan_training, training_frame
    from nextfill.data.ledger import make_ledger
    from nextfill.data.prepare import prepare_data
    from nextfill.data.tokens.cache import cache_dir
    from nextfill.models.tokenizer import load_tokenizer
    from nextfill.results import PrepareResult
    from nextfill.training.progress import Silent

    def settle(given: Sequence[Given]) -> PrepareConfig:
        return build(PrepareConfig, [given], problems)

    observer = observer or Silent()
    try:
        config = settle(with_files(given, settle, observer.on_stage))
        tokenizer = load_tokenizer(config.model, live)
        prepared = prepare_data(
            config.data,
            tokenizer,
            seed=config.seed,
            cache=cache_dir(config.cache_dir),
            on_progress=observer.on_stage,
        )
    finally:
        observer.on_end()
    frame = training_frame(tokenizer, end_of_document=config.blocks.end_of_document)
    plan = plan_training(prepared.train, config.blocks, frame)
    return PrepareResult(
        store=str(prepared.train.store.path),
        held_out_store=str(prepared.held_out.store.path),
        blocks=plan.num_blocks,
        block_size=plan.block_size,
        ledger=make_ledger(prepared, plan, evaluation_frame(tokenizer)),
        reused=prepared.reused,
    )


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

        return evaluate_model(config, scope=scope, on_progress=observer.on_stage, live=live)
    finally:
        observer.on_end()


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
    """Continue text.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``max_new_tokens``, ``top_k``, ``seed``, ...

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline.

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
    keywords, live = part_live({**keywords, "model": model})
    given, problems = keywords_to_given(GenerateConfig, keywords)
    observer = observer or choose_observer(quiet=quiet)
    return generate_from(given, problems, prompt, streamer=streamer, observer=observer, live=live)


def generate_from(
    given: Sequence[Given],
    problems: Sequence[str] = (),
    prompt: str | Sequence[str] | None = None,
    *,
    streamer: Callable[[str], None] | None = None,
    on_texts: Callable[[list[dict[str, str]]], None] = lambda texts: None,
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> list[Any]:
    """Do what `generate` does, from settings that are already taken apart.

    Args:
        given: The settings.
        problems: What was already found wrong.
        prompt: As for `generate`.
        streamer: As for `generate`.
        on_texts: Told of each prompt's texts as they come, in the prompts' order.
        observer: As for `generate`.
        live: A model or tokenizer that the program holds already.
    """
    from nextfill.training.progress import Silent

    file = any(full_path(GenerateConfig, item) == PROMPTS for item in given)
    both = ["Give prompts, or --prompts and a file, not both."] if file and prompt else []
    config = generate_config(given, [*problems, *both])
    texts = [prompt or ""] if isinstance(prompt, str | None) else prompt
    one = config.prompts.source is None and texts is not prompt
    if streamer is not None and not (one and config.generation.num_samples == 1):
        raise ConfigError(["streamer is told of one text: give one prompt and no num_samples."])
    observer = observer or Silent()
    from nextfill.infer.output import check_new_file, written  # brings PyTorch
    from nextfill.infer.prompts import name_prompts, read_prompts
    from nextfill.infer.session import open_session

    out = None if config.out is None else check_new_file(config.out)
    from_file = config.prompts.source is not None
    prompts = read_prompts(config.prompts) if from_file else name_prompts(texts)
    found = []
    try:
        results = open_session(config, live).texts(
            prompts,
            config,
            on_text=streamer,
            on_progress=lambda done, total: observer.on_stage("generating", done, total),
        )
        for made in results if out is None else written(out, prompts, results):
            found.append(made)
            on_texts(made)
    finally:
        observer.on_end()
    return found[0] if one else found


def report(run: str | Path) -> Path:
    """Make the report of a run: one HTML page of its curves, figures, samples, ledger and settings.

    Args:
        run: The run directory, of a run that is finished, stopped or still going on.

    Returns:
        The page, ``report.html`` in the run directory. It is made from the run's files alone.

    Raises:
        RunError: If there is no run, a file of it is damaged, or the page cannot be written.
    """
    from nextfill.reporting.page import write_report

    return write_report(run)


show_settings(train, TrainConfig)
show_settings(prepare, PrepareConfig)
show_settings(evaluate, EvaluateConfig)
show_settings(generate, GenerateConfig)
