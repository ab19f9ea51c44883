"""What the Hub itself reads of a card: base model, data sets, figures, licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import ConfigError, RunError
from nextfill.core.text_safety import printable
from nextfill.data.records.files import live_name
from nextfill.hub.card_snippets import with_repository
from nextfill.hub.public_names import hub_data, hub_model, plain_name
from nextfill.runs.reader import EvaluatedSet, RunFacts

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TASKS = {"causal": "text-generation", "masked": "fill-mask"}
_ENGLISH = "builtin:"  # the built-in corpora are English documentation


def metadata(facts: RunFacts, *, is_adapter: bool) -> ModelCardData:
    """Return the metadata of a run's model."""
    from huggingface_hub import ModelCardData

    base = base_of_card(facts)
    task = _TASKS[objective_of(facts)]
    sources = _sources(facts.config)
    names = [name for name in map(hub_data, sources) if name]
    results = [r for one in facts.sets for r in _results(facts, one, task)]
    known: dict[str, Any] = {
        "base_model": base,
        "base_model_relation": ("adapter" if is_adapter else "finetune") if base else None,
        "datasets": list(dict.fromkeys(names)) or None,
        "language": "en" if sources[:1] and sources[0].startswith(_ENGLISH) else None,
        "library_name": "peft" if is_adapter else "transformers",
        "metrics": ["perplexity"] if results else None,
        "model_name": _line(facts.path.absolute().name) if results else None,
        "eval_results": results or None,
        "pipeline_tag": task,
        "tags": ["nextfill", *(["lora"] if is_adapter else [])],
    }
    return ModelCardData(**{key: value for key, value in known.items() if value is not None})


def objective_of(facts: RunFacts) -> str:
    """Return what a run's model is for: ``causal`` or ``masked``."""
    named = str(facts.config.get("objective"))
    return named if named in _TASKS else "causal"


def base_of_card(facts: RunFacts) -> str | None:
    """Return the Hub id of the model that was adapted, None if it has none."""
    config = facts.config.get("model")
    return hub_model(config.get("name", "")) if isinstance(config, Mapping) else None


def _sources(config: Mapping[str, Any]) -> list[str]:
    return [str(one["source"]) for one in data_tables(config) if one.get("source")]


def data_tables(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a run's config says of its data, source by source."""
    data = config.get("data") or []
    return [data] if isinstance(data, Mapping) else list(data)


def _results(facts: RunFacts, one: EvaluatedSet, task: str) -> list[EvalResult]:
    """Return a set's perplexity and bits per byte for the model index."""
    from huggingface_hub import EvalResult

    source = _source_of(facts.config, one.name)
    repo = hub_data(source)
    told = live_name_or_plain(source)
    what = one.name if one.name == "held-out" else f"evaluation set {one.name}"
    found = []
    for measure in one.measures:
        if measure.key not in ("perplexity", "bits_per_byte") or measure.after is None:
            continue
        revision = re.search(r"@([0-9a-f]{40})", source)
        found.append(
            EvalResult(
                task_type=task,
                dataset_type=repo or "text",
                dataset_name=_line(f"{told} ({what})"),
                dataset_split=one.name,  # results of the same data are told apart by it
                dataset_revision=revision[1] if repo and revision else None,
                metric_type=measure.key,
                metric_name=measure.key.replace("_", " "),
                metric_value=measure.after.value,
            )
        )
    return found


def _source_of(config: Mapping[str, Any], name: str) -> str:
    """Return where an evaluated set comes from."""
    sets = config.get("evaluation")
    one = sets.get(name) if isinstance(sets, Mapping) else None
    if isinstance(one, Mapping):
        return str(one.get("source", ""))
    sources = [str(data.get("eval_source") or data["source"]) for data in data_tables(config)]
    return sources[0] if len(sources) == 1 else ", ".join(map(live_name_or_plain, sources))


def live_name_or_plain(source: str) -> str:
    """Return what others may know of a source's name."""
    return live_name(Path(source)) or plain_name(source)


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def check_license(name: str | None) -> None:
    """Refuse what can be no licence's name on the Hub."""
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ConfigError(
            [f"--license {name!r}: expected a name that the Hub knows, such as apache-2.0."]
        )


def filled_in(card: str, repo: str, license_id: str | None) -> str:
    """Return a card with the repository's name in place of `PLACE`, and perhaps a licence."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    card = with_repository(card, repo)
    try:
        parsed = ModelCard(card, ignore_metadata_errors=False)
    except (YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"The card's metadata, the top of README.md, are no YAML: {reason}"
        ) from error
    if license_id is None:
        return card
    parsed.data.license = license_id  # type: ignore[attr-defined]
    return str(parsed)
