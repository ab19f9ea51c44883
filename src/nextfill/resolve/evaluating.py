"""The settings of an evaluation: what is given over those of the run that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nextfill.config import EvaluateConfig, Scope
from nextfill.given import Given, full_path
from nextfill.paths import user_path
from nextfill.recipe import build
from nextfill.resolve.files import other_than_jsonl, refuse
from nextfill.resolve.run_settings import read_run_settings

FOR_TRAINING = {
    *(("blocks", name) for name in ("packing", "end_of_document", "isolate", "window_rows")),
    ("data", "validation_size"),
}
"""Settings without a meaning for an evaluation, which shares these sections with training."""

TEXTS_OF_A_PAGE = 6
"""Documents that a page shows token by token, unless told otherwise."""


def evaluate_config(
    given: Sequence[Given], problems: Sequence[str] = (), others: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated.

    Args:
        given: The settings that were given.
        problems: What is wrong with how they were given.
        others: Further models to compare with.

    Returns:
        The config, and which documents are scored: all of the data that were named, if nothing
        was said about a held-out part of them; else what is held out; ``own`` where that is the
        run's own held-out part.
    """
    asked = build(EvaluateConfig, [given], problems)
    refuse(_evaluate_contradictions(asked, given, others))
    places = {full_path(EvaluateConfig, item) for item in given}
    named = ("data", "source") in places or ("data", "sources") in places
    divided = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    recipe = user_path(asked.model.name, "--model") / "config.toml"
    layers: list[Sequence[Given]] = []
    if recipe.is_file():
        wanted = ("data", "blocks", "masking", "evaluation")
        alone = (("seed",), ("objective",))
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


def _divided_alike(config: EvaluateConfig, run: Sequence[Sequence[Given]]) -> bool:
    """Say whether data are divided as a run divided them, so that what it held out is held out."""
    own = build(EvaluateConfig, run)
    # These change what is read beside the texts, and how carefully.
    data = replace(config.data, verify=own.data.verify, keep_fields=own.data.keep_fields)
    return (data, config.seed) == (own.data, own.seed)


def _evaluate_contradictions(
    config: EvaluateConfig, given: Sequence[Given], others: Sequence[str]
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
