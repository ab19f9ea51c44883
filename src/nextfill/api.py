"""The verbs: `train`, `prepare`, `evaluate`, `generate`; each is also a command of the same name.

Keyword arguments are named like the flags: ``--learning-rate`` is ``learning_rate``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nextfill.config import (
    EvaluateConfig,
    GenerateConfig,
    PrepareConfig,
    TrainConfig,
    settings,
)
from nextfill.errors import ConfigError, RunError
from nextfill.infer.evaluate import Evaluation
from nextfill.recipe import Given, build, keywords_to_given, read_recipe
from nextfill.training.progress import Observer, Silent

QUICKSTART = "quickstart"
"""The recipe whose settings hold where no model is named."""


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

    Args:
        run: The run directory.
        model: The model's directory, a plain Hugging Face one.
        objective: ``causal``.
        steps: Optimizer steps taken.
        tokens_per_second: Training tokens per second of training steps.
        before: The model's evaluation before the first step, on the held-out documents.
        after: The same after the last step.
        ledger: Where every record and token went.
        samples: The texts continued at each evaluation: ``step``, ``prompt``, ``text``.
    """

    run: str
    model: str
    objective: str
    steps: int
    tokens_per_second: float
    before: Evaluation
    after: Evaluation
    ledger: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class PrepareResult:
    """What preparing made.

    Args:
        store: Folder of the training part's token store.
        held_out_store: Folder of the held-out part's, which may be the same.
        blocks: Training blocks.
        block_size: Tokens per block.
        ledger: Where every record and token went.
        reused: Whether the stores were already in the cache.
    """

    store: str
    held_out_store: str
    blocks: int
    block_size: int
    ledger: Mapping[str, Any]
    reused: bool

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


def train(
    recipe: str | Path | None = None,
    *,
    resume: bool = False,
    observer: Observer | None = None,
    **keywords: Any,
) -> TrainResult:
    """Fine-tune a language model and say how much better it got.

    Args:
        recipe: A TOML recipe, or the name of one that ships.
        resume: Go on with the run in ``out``.
        observer: Told of progress; None for silence.
        **keywords: Any setting, named like its flag.

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
    given, problems = keywords_to_given(TrainConfig, keywords)
    return train_from(recipe, given, problems, resume=resume, observer=observer)


def train_from(
    recipe: str | Path | None,
    given: Sequence[Given],
    problems: Sequence[str] = (),
    *,
    resume: bool = False,
    observer: Observer | None = None,
) -> TrainResult:
    """Do what `train` does, from settings that are already taken apart."""
    from nextfill.training.fit import fit, get_ready, start_run
    from nextfill.training.run import RunDirectory

    observer = observer or Silent()
    if resume:
        config = _resumed_config(recipe, given, problems)
        run = RunDirectory(Path(str(config.out)))
        ready = get_ready(config, observer)
    else:
        config = train_config(recipe, given, problems)
        _check_out(config.out)
        ready = get_ready(config, observer)
        run = start_run(ready, observer)
    fit(ready, run, observer)
    return train_result(run.path)


def train_config(
    recipe: str | Path | None, given: Sequence[Given], problems: Sequence[str] = ()
) -> TrainConfig:
    """Merge a recipe and settings; without a model, the quickstart recipe's settings hold."""
    problems = list(problems)
    layers: list[Sequence[Given]] = []
    try:
        if recipe is not None:
            layers.append(read_recipe(recipe))
        elif not any(item.path[0] == "model" for item in given):
            layers.append(read_recipe(QUICKSTART))
    except ConfigError as error:
        problems += error.problems
    return build(TrainConfig, [*layers, given], problems)


def _resumed_config(
    recipe: str | Path | None, given: Sequence[Given], problems: Sequence[str]
) -> TrainConfig:
    asked = build(TrainConfig, [given], problems)
    if asked.out is None or recipe is not None:
        raise ConfigError(["To go on with a run type: nextfill train --out RUN --resume"])
    path = Path(asked.out).expanduser()
    if not (path / "config.toml").is_file():
        raise RunError(f"--resume: {path} holds no run (expected {path / 'config.toml'}).")
    recorded = build(TrainConfig, [read_recipe(path / "config.toml")])
    changed = []
    for item in given:
        old, new = (_setting(config, item.path) for config in (recorded, asked))
        if item.path != ("out",) and old != new:
            changed.append(f"{item.label}: the run has {old!r}, not {new!r}.")
    if changed:
        changed.append("A resumed run keeps its settings: leave these out, or start a new run.")
        raise ConfigError(changed)
    return replace(recorded, out=str(path))


def _setting(config: Any, path: Sequence[str]) -> Any:
    for name in path:
        config = config[name] if isinstance(config, Mapping) else getattr(config, name)
    return config


def _check_out(out: str | None) -> None:
    """Refuse an output folder in use before anything is loaded."""
    from nextfill.training.run import check_free

    if out is not None:
        check_free(Path(out).expanduser())


def train_result(run: str | Path) -> TrainResult:
    """Read the result of a finished run back from its files.

    Args:
        run: The run directory.

    Returns:
        The same that `train` returned.
    """
    import json

    from nextfill.training.fit import evaluations_of
    from nextfill.training.run import RunDirectory

    directory = RunDirectory(Path(run))
    config = build(TrainConfig, [read_recipe(directory.config)])
    evaluations = evaluations_of(directory)
    events = directory.read_events()
    timing = [json.loads(line) for line in directory.timing.read_text("utf-8").splitlines()]
    seconds = sum(item["elapsed_s"] for item in timing)
    samples = [event for event in events if event["event"] == "sample"]
    return TrainResult(
        run=str(directory.path),
        model=str(directory.model),
        objective=config.objective,
        steps=max(event["step"] for event in events),
        tokens_per_second=sum(item["tokens"] for item in timing) / seconds,
        before=evaluations[0][1],
        after=evaluations[-1][1],
        ledger=json.loads(directory.ledger.read_text("utf-8")),
        samples=[{k: v for k, v in sample.items() if k != "event"} for sample in samples],
    )


def prepare(*, observer: Observer | None = None, **keywords: Any) -> PrepareResult:
    """Read, tokenize and divide data without training.

    Args:
        observer: Told of progress; None for silence.
        **keywords: Settings named like the flags: ``data``, ``tokenizer`` or ``model``, ...

    Returns:
        Where the tokens lie, and the ledger.

    Raises:
        NextfillError: If the data or the tokenizer cannot be used.
    """
    given, problems = keywords_to_given(PrepareConfig, keywords)
    return prepare_from(build(PrepareConfig, [given], problems), observer)


def prepare_from(config: PrepareConfig, observer: Observer | None = None) -> PrepareResult:
    """Do what `prepare` does, from a validated config."""
    from nextfill.data.cache import cache_dir
    from nextfill.data.ledger import make_ledger
    from nextfill.data.prepare import (
        evaluation_frame,
        plan_training,
        prepare_data,
        training_frame,
    )
    from nextfill.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(config.model)
    prepared = prepare_data(
        config.data,
        tokenizer,
        seed=config.seed,
        cache=cache_dir(config.cache_dir),
        on_progress=(observer or Silent()).on_stage,
    )
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


def evaluate(model: str | Path, *, observer: Observer | None = None, **keywords: Any) -> Evaluation:
    """Score documents with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``. A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``.
        observer: Told of progress; None for silence.
        **keywords: Settings named like the flags: ``data``, ``text_field``, ``block_size``, ...

    Returns:
        Nats and counts, perplexity, bits per byte and the rest.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    given, problems = keywords_to_given(EvaluateConfig, {**keywords, "model": str(model)})
    return evaluate_from(given, problems, observer)


def evaluate_from(
    given: Sequence[Given], problems: Sequence[str] = (), observer: Observer | None = None
) -> Evaluation:
    """Do what `evaluate` does, from settings that are already taken apart."""
    from nextfill.infer.job import evaluate_model

    config, whole = evaluate_config(given, problems)
    return evaluate_model(config, whole=whole, on_progress=(observer or Silent()).on_stage)


def evaluate_config(
    given: Sequence[Given], problems: Sequence[str] = ()
) -> tuple[EvaluateConfig, bool]:
    """Merge settings with those of the run that is evaluated.

    Returns:
        The config, and whether all of ``data`` is scored: so it is if data were named, else the
        held-out part of the run's own.
    """
    asked = build(EvaluateConfig, [given], problems)
    named = any(item.path in (("data",), ("data", "source")) for item in given)
    recipe = Path(asked.model.name).expanduser() / "config.toml"
    layers: list[Sequence[Given]] = []
    if recipe.is_file():
        wanted = ("data", "blocks", "evaluation")
        layers.append(
            [g for g in read_recipe(recipe) if g.path[0] in wanted or g.path == ("seed",)]
        )
        if named:  # the run's slices and fields belong to the run's data
            layers = [[g for g in layers[0] if g.path[0] != "data"]]
    return build(EvaluateConfig, [*layers, given]), named


def generate(
    model: str | Path,
    prompt: str | Sequence[str],
    *,
    streamer: Callable[[str], None] | None = None,
    **keywords: Any,
) -> list[Any]:
    """Continue text.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``.
        prompt: A text, or several.
        streamer: Called with pieces of text as they come.
        **keywords: Settings named like the flags: ``max_new_tokens``, ``top_k``, ``seed``, ...

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline.

    Raises:
        NextfillError: If the model or a setting cannot be used.
    """
    given, problems = keywords_to_given(GenerateConfig, {**keywords, "model": str(model)})
    config = build(GenerateConfig, [given], problems)
    return generate_from(config, prompt, streamer)


def generate_from(
    config: GenerateConfig,
    prompt: str | Sequence[str],
    streamer: Callable[[str], None] | None = None,
) -> list[Any]:
    """Do what `generate` does, from a validated config."""
    from nextfill.infer.job import generate_with_model

    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    results = generate_with_model(config, prompts, streamer)
    return results[0] if isinstance(prompt, str) else results


def _show_settings(verb: Callable[..., Any], root: type) -> None:
    """Give a verb a signature that lists its settings, for completion and ``help``."""
    signature = inspect.signature(verb)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in own}
    listed = [
        inspect.Parameter(
            setting.keyword,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=setting.annotation,
        )
        for setting in settings(root)
        if setting.keyword not in taken
    ]
    verb.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]


_show_settings(train, TrainConfig)
_show_settings(prepare, PrepareConfig)
_show_settings(evaluate, EvaluateConfig)
_show_settings(generate, GenerateConfig)
