"""New words among the settings: what they contradict, and when they are looked for again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextfill.config import TrainConfig
from nextfill.config.options import Assignment
from nextfill.config.shorthands import normal_form

CHOSEN = ("new_tokens", "chosen")
SOURCES = {("new_tokens", "file"), ("new_tokens", "from_data")}


def without_old_words(
    written: Sequence[Assignment], layer: Sequence[Assignment]
) -> Sequence[Assignment]:
    """Return a recipe's settings without the words that were found, where others are asked for."""
    if not any(one.path in SOURCES for one in normal_form(TrainConfig, layer)):
        return written
    return [one for one in normal_form(TrainConfig, written) if one.path != CHOSEN]


def new_token_problems(config: TrainConfig) -> Iterator[str]:
    """Yield what new tokens cannot be trained with.

    Example:
        >>> from nextfill.config import LoraConfig, NewTokensConfig
        >>> words, lora = NewTokensConfig(words=["autograd"]), LoraConfig(rank=4)
        >>> len(list(new_token_problems(TrainConfig(new_tokens=words, lora=lora))))
        1
    """
    if config.new_tokens.wanted and config.lora.rank is not None:
        yield (
            "--add-tokens makes the model's own embeddings larger, and an adapter neither trains "
            "nor holds them: leave --lora-rank out. Or train the new tokens first, with "
            "--train-only embeddings --out RUN, and then an adapter for that model: --model RUN "
            "--lora-rank."
        )
