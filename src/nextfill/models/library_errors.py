"""What the libraries that read models raise, turned into messages in one place.

A file that is not what it should be makes them raise nearly anything: transformers' configurations
raise AttributeError and ZeroDivisionError of their own arithmetic, its models RuntimeError of
PyTorch, its quantisers ImportError, PEFT the errors of ``re``. safetensors and huggingface_hub have
types of their own, tokenizers raises bare Exceptions, and a panic within its Rust, which is no
Exception at all. So only calls of these libraries stand within `library_errors`, never our code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nextfill.errors import ModelError, NextfillError

_RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    re.error,
)
_OWN = {"SafetensorError", "StrictDataclassError", "PanicException"}
"""Names of types that are no kind of the others; a panic's cannot be imported."""

_LONGEST = 400
"""Characters of a library's message that are shown."""


@contextmanager
def library_errors(what: str, advice: str = "") -> Iterator[None]:
    """Turn what a library raises within into a `ModelError`.

    Args:
        what: What cannot be done, which begins the message: ``The model X cannot be loaded``.
        advice: What to do, which ends it.

    Raises:
        ModelError: With the library's own words between the two.
    """
    try:
        yield
    except NextfillError:
        raise
    except BaseException as error:
        if not _is_library_error(error):
            raise
        end = f" {advice}" if advice else ""
        raise ModelError(f"{what}: {_in_short(error)}.{end}") from error


def _is_library_error(error: BaseException) -> bool:
    if isinstance(error, _RAISED) or type(error) is Exception:  # as tokenizers raises
        return True
    return any(base.__name__ in _OWN for base in type(error).__mro__)


def _in_short(error: BaseException) -> str:
    """Return an error's type and the beginning of its message, on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
