"""Resolution of the settings of an evaluation, some of which are those of the run it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from nextfill.config import DataConfig, EvaluateConfig, Scope
from nextfill.config.command_line.mistaken_names import ask_for_data
from nextfill.config.layers import build
from nextfill.config.options import Assignment
from nextfill.config.problems.data_problems import other_than_jsonl
from nextfill.config.problems.training_problems import training_mask_problems
from nextfill.config.recipe_file import CONFIG, read_run_settings
from nextfill.config.resolve import OBJECTIVE, refuse
from nextfill.config.resumption import check_recorded_data, names_of_data
from nextfill.config.shorthands import normal_form
from nextfill.core.errors import ConfigError
from nextfill.core.model_folders import refuse_checkpoint
from nextfill.core.paths import user_path

ATTENTION = ("model", "attn_implementation")
FOR_TRAINING = {
    *(("blocks", name) for name in ("packing", "end_of_document", "isolate", "window_rows")),
    ("data", "validation_size"),
}
"""Settings without a meaning for an evaluation, which shares these sections with training."""

TEXTS_OF_A_PAGE = 6
"""Documents that a page shows token by token, unless ``show`` gives another number."""


def check_names_data(config: EvaluateConfig, settings: Iterable[Assignment]) -> None:
    """Refuse to evaluate a folder that is no run, and so records no data, without any named."""
    other = {one.name for one in fields(DataConfig)} - {"source", "sources"}
    folder = user_path(config.model.name, "--model")
    # Splits of data from a program stand below the data by their names.
    names_data = any(one.path[0] == "data" and not other & {*one.path[1:]} for one in settings)
    if not names_data and folder.is_dir() and not (folder / CONFIG).is_file():
        raise ConfigError([ask_for_data(config.model.name, folder)])


def evaluate_config(
    layer: Sequence[Assignment], problems: Sequence[str] = (), others: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated; return the documents' scope, too."""
    config = build(EvaluateConfig, [layer], problems)
    spelled_out = normal_form(EvaluateConfig, layer)
    refuse(_evaluate_contradictions(config, spelled_out, others))
    places = {item.path for item in spelled_out}
    names_data = ("data", "source") in places or ("data", "sources") in places
    divides = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    run = user_path(config.model.name, "--model")
    refuse_checkpoint(run)
    is_run = (run / CONFIG).is_file()
    recorded = _settings_of_run(run, names_data=names_data) if is_run else []
    config = build(EvaluateConfig, [recorded, layer])
    if is_run and not names_data:
        check_recorded_data(run, names_of_data(config.data), "to score what it held out")
    if config.page is not None and ("show",) not in places:
        config = replace(config, show=TEXTS_OF_A_PAGE)
    if names_data and not divides:
        return config, "all"
    return config, "own" if is_run and _same_division(config, recorded) else "held-out"


def _settings_of_run(run: Path, *, names_data: bool) -> list[Assignment]:
    """Return the settings of a run that its evaluation begins with."""
    sections, alone = ("data", "blocks", "masking", "evaluation"), (("seed",), OBJECTIVE, ATTENTION)
    recorded = read_run_settings(run)
    recorded = [item for item in recorded if item.path[0] in sections or item.path in alone]
    if not names_data:
        return recorded
    # The run's slices and fields belong to the run's data.
    return [i for i in recorded if i.path[0] != "data" and i.path != ("evaluation", "by")]


def _same_division(config: EvaluateConfig, recorded: Sequence[Assignment]) -> bool:
    """Return whether data are divided as a run divided them: what it held out is held out."""
    own = build(EvaluateConfig, [recorded])
    # These change what is read beside the texts, and how carefully.
    data = replace(config.data, verify=own.data.verify, keep_fields=own.data.keep_fields)
    return (data, config.seed) == (own.data, own.seed)


def _evaluate_contradictions(
    config: EvaluateConfig, layer: Sequence[Assignment], others: Sequence[str]
) -> Iterator[str]:
    """Yield the contradictions between settings, a layer in normal form, of an evaluation."""
    of_one = {"--tokenizer": config.model.tokenizer, "--revision": config.model.revision}
    for flag, value in of_one.items():
        if others and value is not None:
            yield f"{flag} is one model's: leave it out where several are named."
    if config.evaluation.sets:
        names = ", ".join(f"evaluation.{name}" for name in config.evaluation.sets)
        yield f"{names}: evaluate scores one set of documents at a time: name it with --data."
    yield from training_mask_problems(layer)
    for item in layer:
        if config.pseudo and (item.path[0] == "masking" or item.path[-1] == "mask_seed"):
            yield (
                f"{item.label} chooses what is masked, and --pseudo hides each token in turn: "
                "leave one of them out."
            )
        if item.path in FOR_TRAINING:
            yield f"{item.label} is for training: leave it out, each document is scored alone."
        if not config.pseudo and item.path == ("pseudo_metric",):
            yield f"{item.label} says how --pseudo hides a token: give that, too."
    yield from other_than_jsonl(config.out)
    if config.page is not None and not config.page.lower().endswith((".html", ".htm")):
        yield f"--page {config.page}: a page is written, so the name has to end in .html."
