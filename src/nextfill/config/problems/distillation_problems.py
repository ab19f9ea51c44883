"""Rules of a student's settings: what it takes over from its teacher, and what goes together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nextfill.config import TrainConfig
from nextfill.config.options import Assignment
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.shorthands import normal_form

DEFAULT_WEIGHT = 0.7
"""About DistilBERT's, whose two losses have weights of 5 and 2 (DECISIONS.md has figures)."""

DEFAULT_TEMPERATURE = 2.0
"""That of Sanh et al. 2019, DistilBERT, a distilled version of BERT."""

_SECTION = "distillation"
_NAME, _TOKENIZER, _REVISION = (("model", key) for key in ("name", "tokenizer", "revision"))


def student_settings(layer: Sequence[Assignment]) -> list[Assignment]:
    """Return the settings that a student has from its teacher unless it names its own.

    One of so many layers begins as the teacher, one from random weights has its tokenizer.
    """
    given = {item.path: item for item in normal_form(TrainConfig, layer)}
    teacher = given.get((_SECTION, "teacher"))
    if teacher is None:
        return []
    if (_SECTION, "student_layers") in given and _NAME not in given:
        revision = given.get((_SECTION, "revision"))
        own = [] if revision is None else [Assignment(_REVISION, revision.value, revision.label)]
        return [Assignment(_NAME, teacher.value, teacher.label), *own]
    name = given.get(_NAME)
    if name is not None and str(name.value).startswith(SCRATCH) and _TOKENIZER not in given:
        return [Assignment(_TOKENIZER, teacher.value, teacher.label)]
    return []


def distillation_problems(config: TrainConfig, layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield the contradictions between settings of a distillation, a layer in normal form.

    Example:
        >>> layer = [Assignment(("distillation", "weight"), 0.9, "--distill-weight")]
        >>> print(*distillation_problems(TrainConfig(), layer))
        --distill-weight is of a distillation: give --teacher MODEL, too, or leave it out.
    """
    settings, name = config.distillation, config.model.name
    teacher = settings.teacher
    if teacher is None:
        of_section = [item for item in layer if item.path[0] == _SECTION]
        for label in dict.fromkeys(item.label for item in of_section):
            yield f"{label} is of a distillation: give --teacher MODEL, too, or leave it out."
        return
    if teacher.startswith(SCRATCH):
        yield f"--teacher {teacher} has random weights and nothing to teach: name a trained model."
    if teacher.startswith(LIVE):
        yield f"--teacher {teacher}: a teacher is read from a folder or the Hub: name it so."
    if config.new_tokens.wanted:
        yield (
            f"--teacher {teacher} does not know new words: give them tokens (--add-tokens) in a "
            "run before this one, for the teacher, too, or after it."
        )
    layers = settings.student_layers
    if layers is not None and name.startswith((SCRATCH, LIVE)):
        why = "of random weights" if name.startswith(SCRATCH) else "in memory"
        yield (
            f"--student-layers {layers} takes layers of a model that is read, and {name} is one "
            f"{why}: make that as small as you want it, or leave --model out."
        )
    if layers is not None and config.lora.rank is not None and not config.lora.merge:
        yield (
            f"--student-layers {layers} makes a model that is nowhere saved, without which an "
            "adapter is of no use: give --lora-merge, or leave --lora-rank out."
        )
