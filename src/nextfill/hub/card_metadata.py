"""Metadata of a model's card for the Hub (base model, data sets, figures), and public names.

A public name stands for a path of this machine, so that no card shows where files are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nextfill.config.prefixes import BUILTIN, LIVE, SCRATCH
from nextfill.core.errors import ConfigError
from nextfill.core.streams import printable
from nextfill.data.records.files import live_name
from nextfill.runs.evaluated_sets import EvaluatedSet
from nextfill.runs.reader import RunFacts

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TASKS = {"causal": "text-generation", "masked": "fill-mask"}
_ENGLISH = BUILTIN  # the built-in corpora are English documentation

_TEXTS = ("sample_prompt", "join", "prompt", "text")
"""Settings whose values are texts and never paths."""

_PRIVATE_SECTIONS = ("share", "tracking", "out", "cache_dir", "cache_limit", "store")
_NOT_ON_THE_HUB = (BUILTIN, SCRATCH, LIVE)
_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def card_metadata(facts: RunFacts, *, is_adapter: bool) -> ModelCardData:
    """Return the metadata of a run's model, for the front matter of its card."""
    from huggingface_hub import ModelCardData

    base = base_of_card(facts)
    task = _TASKS[objective_of(facts)]
    sources = [str(one["source"]) for one in data_tables(facts.config) if one.get("source")]
    names = [name for name in map(hub_data, sources) if name]
    results = [r for one in facts.sets for r in _results(facts, one, task)]
    values: dict[str, Any] = {
        "base_model": base,
        "base_model_relation": ("adapter" if is_adapter else "finetune") if base else None,
        "datasets": list(dict.fromkeys(names)) or None,
        "language": "en" if sources[:1] and sources[0].startswith(_ENGLISH) else None,
        "library_name": "peft" if is_adapter else "transformers",
        "metrics": ["perplexity"] if results else None,
        "model_name": _line(facts.path.absolute().name) if results else None,
        "eval_results": results or None,
        "pipeline_tag": task,
        "tags": ["nextfill", *(["lora"] if is_adapter else []), *_distillation(facts)],
    }
    return ModelCardData(**{key: value for key, value in values.items() if value is not None})


def _distillation(facts: RunFacts) -> list[str]:
    settings = facts.config.get("distillation")
    return ["distillation"] if isinstance(settings, Mapping) and "teacher" in settings else []


def objective_of(facts: RunFacts) -> str:
    """Return the objective of a run's model: ``causal`` or ``masked``."""
    objective = str(facts.config.get("objective"))
    return objective if objective in _TASKS else "causal"


def base_of_card(facts: RunFacts) -> str | None:
    """Return the Hub id of the base model, None if it is not on the Hub."""
    config = facts.config.get("model")
    return hub_model(config.get("name", "")) if isinstance(config, Mapping) else None


def data_tables(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the data sections of a run's config, one for each source."""
    data = config.get("data") or []
    return [data] if isinstance(data, Mapping) else list(data)


def _results(facts: RunFacts, one: EvaluatedSet, task: str) -> list[EvalResult]:
    """Return a set's perplexity and bits per byte for the model index."""
    from huggingface_hub import EvalResult

    source = _source_of(facts.config, one.name)
    repo = hub_data(source)
    what = one.name if one.name == "held-out" else f"evaluation set {one.name}"
    results = []
    for measure in one.measures:
        if measure.key not in ("perplexity", "bits_per_byte") or measure.after is None:
            continue
        revision = re.search(r"@([0-9a-f]{40})", source)
        results.append(
            EvalResult(
                task_type=task,
                dataset_type=repo or "text",
                dataset_name=_line(f"{public_source_name(source)} ({what})"),
                dataset_split=one.name,  # distinguishes results on the same data
                dataset_revision=revision[1] if repo and revision else None,
                metric_type=measure.key,
                metric_name=measure.key.replace("_", " "),
                metric_value=measure.after.value,
            )
        )
    return results


def _source_of(config: Mapping[str, Any], name: str) -> str:
    """Return the source of an evaluated set."""
    sets = config.get("evaluation")
    one = sets.get(name) if isinstance(sets, Mapping) else None
    if isinstance(one, Mapping):
        return str(one.get("source", ""))
    sources = [str(data.get("eval_source") or data["source"]) for data in data_tables(config)]
    return sources[0] if len(sources) == 1 else ", ".join(map(public_source_name, sources))


def public_source_name(source: str) -> str:
    """Return the public name of a data source."""
    return live_name(Path(source)) or public_name(source)


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def check_license(name: str | None) -> None:
    """Refuse a name that no licence on the Hub can have."""
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ConfigError(
            [f"--license {name!r}: expected a name that the Hub knows, such as apache-2.0."]
        )


def hub_model(name: object) -> str | None:
    """Return a model's Hub id, None for a name that is not of the Hub.

    Example:
        >>> hub_model("distilbert/distilgpt2"), hub_model("/home/me/model"), hub_model("builtin:x")
        ('distilbert/distilgpt2', None, None)
    """
    text = str(name)
    if text.startswith(_NOT_ON_THE_HUB) or _is_path(text) or "://" in text:
        return None
    return text if re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", text) else None


def hub_data(source: object) -> str | None:
    """Return a data set's Hub id without configuration and revision, None for any other source.

    Example:
        >>> hub_data("me/rows:one@0123abc"), hub_data("notes.txt"), hub_data("builtin:stdlib-docs")
        ('me/rows', None, None)
    """
    text = str(source)
    name = re.split(r"[:@]", text, maxsplit=1)[0]
    if text.startswith(_NOT_ON_THE_HUB) or "://" in text or _is_path(text):
        return None
    return name if _HUB_NAME.fullmatch(name) else None


def public_name(value: str) -> str:
    """Return the last part of a path, or an address without user and query.

    Example:
        >>> public_name("/home/me/notes.txt"), public_name("https://me:secret@host/x.jsonl?key=1")
        ('notes.txt', 'https://host/x.jsonl')
    """
    if _is_path(value):
        return PureWindowsPath(PurePosixPath(value).name).name or value
    if "://" in value:
        try:
            parts = urlsplit(value)
        except ValueError:
            return value.partition("://")[0]
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return value


def _is_path(text: str) -> bool:
    return (
        PurePosixPath(text).is_absolute()
        or text.startswith(("~", "./", "../"))
        or PureWindowsPath(text).is_absolute()
    )


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with names in place of paths, and without those of this machine alone.

    Example:
        >>> public_settings({"cache_dir": "/tmp/x", "data": {"source": "/home/me/notes.txt"}})
        {'data': {'source': 'notes.txt'}}
    """
    return {
        key: _public_value(key, value)
        for key, value in settings.items()
        if key not in _PRIVATE_SECTIONS
    }


def _public_value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _public_value(inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_public_value(key, one) for one in value]
    return public_name(value) if isinstance(value, str) and key not in _TEXTS else value
