"""Settings by the names other programs give them, each answered with ours or with a reason."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from nextfill.config.foreign_settings import ANSWERS
from nextfill.config.foreign_values import OFF, is_off, our_value, plain_name
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
        >>> answer("fp16", False, ["precision"])
        ' That is off unless it is asked for: leave it out.'
        >>> answer("mlm_probability", 0.2, ["temperature"])
        ''
        >>> answer("optim", "adamw_torch_fused", ["optimizer"])
        " That is optimizer='adamw', one of adamw, adamw-unfused, sgd, adafactor."
    """
    plain = plain_name(name)
    text = OFF[plain] if plain in OFF and is_off(value) else ANSWERS.get(plain)
    if text is None or {m[1] for m in _QUOTED.finditer(text)} - {*keywords, *_VERB_ARGUMENTS}:
        return ""

    ours = our_value(name, value)

    def written(match: re.Match[str]) -> str:
        given = match[2]
        if given is not None and "{}" in given:
            given = None if _unknown(ours) else given.replace("{}", scrub(str(ours)))
        return write(match[1], given)

    words = _QUOTED.sub(written, text)
    end = "" if words.endswith(".") else " here."
    return f" That is {words}{end}" if text.startswith("`") else f" {words}"


def _unknown(value: Any) -> bool:
    return value is None or isinstance(value, dict | list | tuple) or len(str(value)) > 60
