"""The part of the data that blocks are made of: all of it, what is trained on, or held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nextfill.config import PackConfig
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.data.infilling import Infilling
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_data, prepare_part
from nextfill.data.records.python_data.dataset_splits import HELD_OUT
from nextfill.data.store.store_cache import cache_place

_OTHER_PARTS = {
    **dict.fromkeys(("held_out", "heldout", "held out", *HELD_OUT), "held-out"),
    **dict.fromkeys(("training", "train_split"), "train"),
    **dict.fromkeys(("both", "full", "whole", "train+test"), "all"),
}
"""The parts as other programs name them."""


def check_part(part: str, keywords: Mapping[str, Any], config: PackConfig) -> None:
    """Refuse a part that there is not, and data of which none is named."""
    if part not in ("all", "train", "held-out"):
        ours = _OTHER_PARTS.get(str(part).lower())
        hint = f" Give {ours!r}." if ours else ""
        raise ConfigError([f"part: found {part!r}; expected 'all', 'train' or 'held-out'.{hint}"])
    keys = {"test_size": "test_size", "eval_data": "eval_source", "eval_split": "eval_split"}
    named = [
        keyword
        for keyword, key in keys.items()
        if any(getattr(one, key) is not None for one in config.data.each)
    ]
    if part == "all" and named == ["eval_data"] and keywords.get("eval_data") is None:
        data = keywords.get("data")
        splits = f" ({', '.join(map(str, data))})" if isinstance(data, Mapping) else ""
        raise ConfigError(
            [
                f"data: found splits{splits}, one of which is held out: say which part you want, "
                "part='train' or 'held-out'; for the whole of one split give it alone, as in "
                "data=dataset['train']."
            ]
        )
    if part == "all" and named:
        raise ConfigError(
            [f"{named[0]} divides the data: say which part you want, part='train' or 'held-out'."]
        )


def read_part(
    part: str, config: PackConfig, tokenizer: Any, observer: Observer, infilling: Infilling | None
) -> Part:
    """Read the documents of a part: all of them, or those that are trained on, or held out."""
    cache = cache_place(config.cache_dir, config.cache_limit, config.store)
    if part == "all":
        each = [replace(one, split=one.split or "train") for one in config.data.each]
        data = each[0] if len(each) == 1 else replace(config.data, sources=each)
        return prepare_part(
            *(data, tokenizer),
            cache=cache,
            on_progress=observer.on_stage,
            objective=config.objective,
        )
    prepared = prepare_data(
        config.data,
        tokenizer,
        seed=config.seed,
        cache=cache,
        on_progress=observer.on_stage,
        whole=True,
        infilling=infilling,
        objective=config.objective,
    )
    return prepared.trained if part == "train" else prepared.held_out
