"""The settings of evaluations, continued texts and filled blanks, and contradictions in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nextfill.config import EvaluateConfig, FillConfig, GenerateConfig, PromptsConfig, Scope
from nextfill.config.layers import Assignment, full_path
from nextfill.config.recipe_file import build
from nextfill.core.errors import ConfigError
from nextfill.core.paths import user_path


def refuse(contradictions: Iterable[str]) -> None:
    """Raise what is wrong with settings of which each by itself is right, all of it at once."""
    if found := list(contradictions):
        raise ConfigError(found)


def names_prompts(root: type, given: Sequence[Assignment]) -> bool:
    """Say whether a file of texts is among the settings."""
    return any(full_path(root, item) == ("prompts", "source") for item in given)


def about_files(prompts: PromptsConfig, out: str | None) -> Iterator[str]:
    """Yield what is wrong with the files that texts come from and go to."""
    if prompts.prompt_field is not None and prompts.source is None:
        yield "--prompt-field names a field of --prompts: give that, too, or leave it out."
    yield from other_than_jsonl(out)


def other_than_jsonl(out: str | None) -> Iterator[str]:
    """Yield what is wrong with the name of a file of results."""
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."


MOST_BEAMS = 100
"""Beams that search for answers of several tokens, each of which is a row of a batch."""


def generate_config(given: Sequence[Assignment], problems: Sequence[str] = ()) -> GenerateConfig:
    """Return the settings of a generation, refusing those that contradict one another."""
    config = build(GenerateConfig, [given], problems)
    refuse(contradictions(config))
    return config


def contradictions(config: GenerateConfig) -> Iterator[str]:
    """Yield what is wrong with settings of which each by itself is right.

    Example:
        >>> from nextfill.config import GenerationConfig
        >>> generation = GenerationConfig(max_new_tokens=5, min_new_tokens=9)
        >>> print(*contradictions(GenerateConfig(generation=generation)))
        --min-new-tokens 9 is above --max-new-tokens 5: lower it, or raise the other.
    """
    generation = config.generation
    beams, samples = generation.num_beams, generation.num_samples
    sampling = " and ".join("--" + name.replace("_", "-") for name in generation.sampling)
    if generation.greedy and sampling:
        yield f"--greedy does not sample, so {sampling} would change nothing: leave one side out."
    if generation.greedy and beams > 1:
        yield f"--greedy follows one text and --num-beams {beams} several: leave one of them out."
    elif generation.greedy and samples > 1:
        yield "--greedy gives one and the same text: leave out --num-samples."
    if 1 < beams < samples:
        yield (
            f"--num-samples {samples} is above --num-beams {beams}, and each beam gives one text: "
            f"give --num-beams {samples}, or fewer samples."
        )
    if beams == 1 and generation.length_penalty is not None:
        yield "--length-penalty weighs beams: give --num-beams 2 or more, or leave it out."
    if generation.min_new_tokens > generation.max_new_tokens:
        yield (
            f"--min-new-tokens {generation.min_new_tokens} is above --max-new-tokens "
            f"{generation.max_new_tokens}: lower it, or raise the other."
        )
    yield from about_files(config.prompts, config.out)


def fill_config(given: Sequence[Assignment], problems: Sequence[str] = ()) -> FillConfig:
    """Return the settings of filling blanks, refusing those that contradict one another."""
    config = build(FillConfig, [given], problems)
    refuse(_fill_contradictions(config))
    return config


def _fill_contradictions(config: FillConfig) -> Iterator[str]:
    filling = config.filling
    yield from about_files(config.prompts, config.out)
    if filling.answer_tokens > 1 and filling.targets:
        yield "--targets are one token each: leave them or --answer-tokens out."
    if filling.answer_tokens > 1 and filling.top_k > MOST_BEAMS:
        yield (
            f"--answer-tokens {filling.answer_tokens} searches with --top-k {filling.top_k} "
            f"beams: give at most --top-k {MOST_BEAMS}, or leave --answer-tokens out."
        )


FOR_TRAINING = {
    *(("blocks", name) for name in ("packing", "end_of_document", "isolate", "window_rows")),
    ("data", "validation_size"),
}
"""Settings without a meaning for an evaluation, which shares these sections with training."""

TEXTS_OF_A_PAGE = 6
"""Documents that a page shows token by token, unless told otherwise."""


def evaluate_config(
    given: Sequence[Assignment], problems: Sequence[str] = (), others: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated."""
    asked = build(EvaluateConfig, [given], problems)
    refuse(_evaluate_contradictions(asked, given, others))
    places = {full_path(EvaluateConfig, item) for item in given}
    named = ("data", "source") in places or ("data", "sources") in places
    divided = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    recipe = user_path(asked.model.name, "--model") / "config.toml"
    layers: list[Sequence[Assignment]] = []
    if recipe.is_file():
        wanted = ("data", "blocks", "masking", "evaluation")
        alone = (("seed",), ("objective",))
        from nextfill.config.resolve_training import read_run_settings  # not for --help

        own = read_run_settings(recipe.parent)
        layers.append([g for g in own if g.path[0] in wanted or g.path in alone])
        if named:  # the run's slices and fields belong to the run's data
            theirs = ("data",), ("evaluation", "by")
            layers = [[g for g in layers[0] if g.path[:1] not in theirs and g.path not in theirs]]
    config = build(EvaluateConfig, [*layers, given])
    if config.page is not None and ("show",) not in places:
        config = replace(config, show=TEXTS_OF_A_PAGE)
    if named and not divided:
        return config, "all"
    return config, "own" if recipe.is_file() and _divided_alike(config, layers) else "held-out"


def _divided_alike(config: EvaluateConfig, run: Sequence[Sequence[Assignment]]) -> bool:
    """Say whether data are divided as a run divided them, so that what it held out is held out."""
    own = build(EvaluateConfig, run)
    # These change what is read beside the texts, and how carefully.
    data = replace(config.data, verify=own.data.verify, keep_fields=own.data.keep_fields)
    return (data, config.seed) == (own.data, own.seed)


def _evaluate_contradictions(
    config: EvaluateConfig, given: Sequence[Assignment], others: Sequence[str]
) -> Iterator[str]:
    """Yield what is wrong with settings of which each by itself is right."""
    if others and config.evaluation.by is not None:
        yield "--by tells the groups of one model: leave it out, or name one model."
    of_one = {"--tokenizer": config.model.tokenizer, "--revision": config.model.revision}
    for flag, value in of_one.items():
        if others and value is not None:
            yield f"{flag} is one model's: leave it out where several are named."
    if config.evaluation.sets:
        names = ", ".join(f"evaluation.{name}" for name in config.evaluation.sets)
        yield f"{names}: evaluate scores one set of documents at a time: name it with --data."
    for item in given:
        place = full_path(EvaluateConfig, item)
        if config.pseudo and (place[0] == "masking" or place[-1] == "mask_seed"):
            yield (
                f"{item.label} chooses what is masked, and --pseudo hides each token in turn: "
                "leave one of them out."
            )
        if place == ("masking", "rate_start"):
            yield f"{item.label} is for training; an evaluation hides --mask-rate of the tokens."
        if place in FOR_TRAINING:
            yield f"{item.label} is for training: leave it out, each document is scored alone."
        if not config.pseudo and place == ("pseudo_metric",):
            yield f"{item.label} says how --pseudo hides a token: give that, too."
    yield from other_than_jsonl(config.out)
    if config.page is not None and not config.page.lower().endswith((".html", ".htm")):
        yield f"--page {config.page}: a page is written, so the name has to end in .html."
