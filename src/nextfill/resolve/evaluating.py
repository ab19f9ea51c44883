"""The settings of an evaluation: what is given over those of the run that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextfill.config import EvaluateConfig, Scope
from nextfill.given import Given, full_path
from nextfill.paths import user_path
from nextfill.recipe import build, read_recipe
from nextfill.resolve.files import other_than_jsonl, refuse


def evaluate_config(
    given: Sequence[Given], problems: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated.

    Returns:
        The config, and which documents are scored: all of the data that were named, if nothing
        was said about a held-out part of them; else what is held out; ``own`` where that is the
        run's own held-out part.
    """
    asked = build(EvaluateConfig, [given], problems)
    refuse(_evaluate_contradictions(asked, given))
    places = {full_path(EvaluateConfig, item) for item in given}
    named = ("data", "source") in places or ("data", "sources") in places
    divided = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    recipe = user_path(asked.model.name, "--model") / "config.toml"
    layers: list[Sequence[Given]] = []
    if recipe.is_file():
        wanted = ("data", "blocks", "masking", "evaluation")
        alone = (("seed",), ("objective",))
        layers.append([g for g in read_recipe(recipe) if g.path[0] in wanted or g.path in alone])
        if named:  # the run's slices and fields belong to the run's data
            layers = [[g for g in layers[0] if g.path[0] != "data"]]
    config = build(EvaluateConfig, [*layers, given])
    if named and not divided:
        return config, "all"
    about_data = any(place[0] == "data" for place in places)
    return config, "own" if recipe.is_file() and not about_data else "held-out"


def _evaluate_contradictions(config: EvaluateConfig, given: Sequence[Given]) -> Iterator[str]:
    """Yield what is wrong with settings of which each by itself is right."""
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
        if not config.pseudo and place == ("pseudo_metric",):
            yield f"{item.label} says how --pseudo hides a token: give that, too."
    yield from other_than_jsonl(config.out)
