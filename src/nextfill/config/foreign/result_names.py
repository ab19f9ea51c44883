"""Results looked up by a key, as those of transformers' Trainer are, answered with attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, NoReturn

from nextfill.core.errors import nearest

_LOSS = (
    "the loss of a token is result.{0}nats / result.{0}targets, its exponential is "
    "result.{0}perplexity"
)
_OF_STEPS = "the loss of each step is in events.jsonl of result.run; on the held-out documents"

_TRAINING = ("train_loss", "training_loss")


class Result:
    """A dataclass whose figures are attributes, which is told to those who type a key."""

    _HELD_OUT: ClassVar[str] = ""  # where the figures of the held-out documents are

    def __getitem__(self, key: object) -> NoReturn:
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]
        raise TypeError(_message(type(self).__name__, key, names, self._HELD_OUT))


_ANSWERS: Mapping[str, str] = {
    **dict.fromkeys(("eval_loss", "loss", *_TRAINING), _LOSS),
    **dict.fromkeys(("eval_perplexity", "perplexity"), "it is result.{0}perplexity"),
    **dict.fromkeys(("eval_accuracy", "accuracy"), "it is result.{0}accuracy"),
}


def _message(kind: str, key: Any, names: list[str], figures: str) -> str:
    """Return the message about a key."""
    start = f"{kind} has attributes and no keys: found [{key!r:.60}]"
    if key in names:
        return f"{start}; it is result.{key}"
    if isinstance(key, str) and key in _ANSWERS:
        of_steps = f"{_OF_STEPS} " if key in _TRAINING and "run" in names else ""
        return f"{start}; {of_steps}{_ANSWERS[key].format(figures)}"
    hint = nearest(key, names) if isinstance(key, str) else ""
    return f"{start}; expected one of {', '.join(names)}, such as result.{names[0]}.{hint}"
