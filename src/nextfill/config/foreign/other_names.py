"""Settings by the names other programs give them, each answered with ours or with a reason."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import Any

from nextfill.config.foreign.foreign_combinations import answer_by_value, answer_together
from nextfill.config.foreign.foreign_settings import ANSWERS, IN_PYTHON, SECOND
from nextfill.config.foreign.foreign_values import OFF, is_off, our_value, plain_name
from nextfill.core.url_redaction import scrub

_VERB_ARGUMENTS = frozenset({"quiet", "resume"})
"""Arguments of verbs that an answer names and that are no settings."""

_QUOTED = re.compile(r"`(\w+)(?:=([^`]*))?`")


def as_flag(keyword: str, value: str | None) -> str:
    """Write a setting as it is typed in a shell.

    Example:
        >>> as_flag("mask_rate", "0.2"), as_flag("share_private", "True")
        ('--mask-rate 0.2', '--share-private')
    """
    flag = "--" + keyword.replace("_", "-")
    if value in ("True", "true"):
        return flag
    if value in ("False", "false"):
        return flag.replace("--", "--no-", 1)
    return flag if value is None else f"{flag} {value if value.isupper() else shlex.quote(value)}"


def as_key(keyword: str, value: str | None) -> str:
    """Write a setting as it is written in a recipe.

    Example:
        >>> as_key("lora.rank", "16"), as_key("training.schedule", "cosine")
        ('lora.rank = 16', "training.schedule = 'cosine'")
    """
    words = as_keyword(keyword, value).replace("=", " = ", 1)
    return words.lower() if value in ("True", "False") else words


def as_keyword(keyword: str, value: str | None) -> str:
    """Write a setting as it is typed in Python.

    Example:
        >>> as_keyword("mask_rate", "0.2"), as_keyword("share", "USER/NAME")
        ('mask_rate=0.2', "share='USER/NAME'")
    """
    if value is None:
        return keyword
    plain = value in ("True", "False", "STEPS") or re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", value)
    return f"{keyword}={value if plain else repr(value)}"


def advice(
    name: str,
    value: object,
    keywords: Sequence[str],
    write: Callable[[str, str | None], str] = as_keyword,
    beside: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return our way to say a setting of another program, be its name misspelled, or "".

    Args:
        name: The setting there, however its words are joined.
        value: Its value, None where it is not known.
        keywords: Our settings where it was typed: an answer that names another is none.
        write: Writes one of ours as it is typed there.
        beside: The settings typed with it, and their values: some have one answer together.

    Example:
        >>> advice("num_train_epoch", 3, ["epochs"])
        ' Did you mean num_train_epochs? That is epochs=3 here.'
        >>> advice("epoch", 3, ["epochs"])
        ''
    """
    together = answer_together(name, keywords, write, beside, in_shell=write is as_flag)
    if said := together or answer(name, value, keywords, write):
        return said
    plain = plain_name(name)
    close = difflib.get_close_matches(plain, [*keywords, *ANSWERS], n=1, cutoff=0.85)
    said = answer(close[0], value, keywords, write) if close and close[0] not in keywords else ""
    return said and f" Did you mean {close[0]}?{said}"


def answer(
    name: str,
    value: object,
    keywords: Sequence[str],
    write: Callable[[str, str | None], str] = as_keyword,
) -> str:
    """Return our way to say a setting of another program, with a space before it, or "".

    Args:
        name: The setting there, however its words are joined.
        value: Its value, None where it is not known.
        keywords: Our settings where it was typed: an answer that names another is none.
        write: Writes one of ours as it is typed there.

    Example:
        >>> answer("--num_train_epochs", "3", ["epochs"], as_flag)
        ' That is --epochs 3 here.'
        >>> answer("mlm_probability", 0.2, ["mask_rate"])
        ' That is mask_rate=0.2 here.'
        >>> answer("push_to_hub", False, ["share"])
        ' That is off unless it is asked for: leave it out.'
        >>> answer("mlm_probability", 0.2, ["temperature"])
        ''
        >>> answer("optim", "adamw_torch_fused", ["optimizer"])
        " That is optimizer='adamw', one of adamw, adamw-unfused, sgd, adafactor."
    """
    plain = plain_name(name)
    own = answer_by_value(plain, value) or (OFF.get(plain, "") if is_off(value) else "")
    own = own or (IN_PYTHON.get(plain, "") if write is as_keyword else "")
    texts = [own] if own else [table[plain] for table in (ANSWERS, SECOND) if plain in table]
    known = {*keywords, *_VERB_ARGUMENTS}
    fit = (one for one in texts if known.issuperset(m[1] for m in _QUOTED.finditer(one)))
    text = next(fit, None)
    if text is None:
        return ""

    ours = our_value(name, value)

    def written(match: re.Match[str]) -> str:
        given = match[2]
        if given is not None and "{}" in given:
            is_object = value is None or (ours is not None and _unknown(ours))
            if is_object and write is as_keyword:
                return f"{match[1]}="  # records, which are no words of a message
            given = None if _unknown(ours) else given.replace("{}", scrub(str(ours)))
        return write(match[1], given)

    words = _QUOTED.sub(written, text)
    end = "" if words.endswith(".") else " here."
    return f" That is {words}{end}" if text.startswith("`") else f" {words}"


def _unknown(value: Any) -> bool:
    return not isinstance(value, str | int | float | PathLike) or len(str(value)) > 60
