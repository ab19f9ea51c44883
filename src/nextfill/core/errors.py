"""Errors that the user can mend; each names the problem, the expected value and what to type.

The command line shows such an error without a traceback and exits with status 2. Anything else
that escapes is a defect of ours and exits with status 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nextfill.core.shell_command import shell_command
from nextfill.core.url_redaction import scrub


class NextfillError(Exception):
    """An error the user can mend; its text is the whole message, without secrets of addresses."""

    def __init__(self, message: str = "") -> None:
        super().__init__(scrub(message))


class ConfigError(NextfillError):
    """Settings that cannot be used, with a message for every problem and not only the first."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(scrub, problems))
        if len(self.problems) == 1:
            message = self.problems[0]
        else:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            message = f"{len(self.problems)} settings cannot be used:\n{lines}"
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class DataError(NextfillError):
    """Data that cannot be read or used; the message names the file and, where known, the line."""


class ModelError(NextfillError):
    """A model or tokenizer that cannot be loaded or does not fit the job."""


class UnreachableModelError(ModelError):
    """A model or tokenizer of the Hub that is not in the cache, while the Hub is out of reach."""


class RunError(NextfillError):
    """A run directory that is in use, incomplete or does not match the settings."""


class HubError(NextfillError):
    """A refusal of the Hugging Face Hub, or the reason why it cannot be reached."""


class NotSharedError(HubError):
    """A model that is saved and could not be pushed to the Hub; the message says how to repeat it.

    Args:
        message: The cause, and the command to type.
        result: The result of the training before it, if there was one.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result)


class Interrupted(Exception):  # noqa: N818 - something the user did, not an error
    """Training was stopped by the user; the state is saved.

    Args:
        step: Steps that a resumed run need not repeat.
        run: The run directory.
    """

    def __init__(self, step: int, run: str) -> None:
        self.step = step
        self.run = run
        again = shell_command("train", "--out", Path(run), "--resume")
        super().__init__(f"stopped; {step} steps are saved. Go on with:\n  {again}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step, self.run)


class OtherRankError(NextfillError):
    """Another process of the same training had an error, which it has told itself.

    Args:
        message: What it told.
        status: The exit status of all of them.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status)


def missing_library(needed_by: str, extra: str) -> ConfigError:
    """Return the refusal of what needs a library that is not installed, with what to type.

    Args:
        needed_by: The setting or command, which the message begins with.
        extra: The extras of Nextfill that bring it, apart by commas.

    Example:
        >>> print(missing_library("--to gguf", "gguf"))
        --to gguf needs a library that is not here; type: pip install 'nextfill[gguf]'
    """
    return ConfigError(
        [f"{needed_by} needs a library that is not here; type: pip install 'nextfill[{extra}]'"]
    )


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return a hint with the closest candidates, or an empty string.

    Example:
        >>> nearest("learnig_rate", ["learning_rate", "epochs"])
        " Did you mean 'learning_rate'?"
        >>> nearest("--top_k", ["--stop", "--top-k"])
        " Did you mean '--top-k'?"
    """
    found = near(name, candidates)
    return " Did you mean " + " or ".join(f"'{match}'" for match in found) + "?" if found else ""


def near(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the one or two closest candidates, if any is close.

    Example:
        >>> near("--learnig-rate", ["--learning-rate", "--share-private"])
        ['--learning-rate']
    """
    import difflib  # not for --help

    candidates = list(candidates)
    same = {one for one in candidates if _joined(one) == _joined(name)}
    if len(same) == 1:  # but for underscores or capitals
        return list(same)
    close = difflib.get_close_matches(name, candidates, n=2, cutoff=0.6)
    alike = [difflib.SequenceMatcher(None, match, name).ratio() for match in close]
    # Far less alike than the best is no hint: --share-private for --learnig-rate.
    return [match for match, ratio in zip(close, alike, strict=True) if ratio > alike[0] - 0.25]


def _joined(name: str) -> str:
    return name.replace("_", "-").lower()
