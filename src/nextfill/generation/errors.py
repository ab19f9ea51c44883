"""Errors of a model that generates, as ours, with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nextfill.core.amounts import amount
from nextfill.core.errors import ModelError, NextfillError
from nextfill.generation.text_stream import CallbackError
from nextfill.models.libraries import REFUSALS
from nextfill.models.loaded_model import LoadedModel


@contextmanager
def explained_errors(loaded: LoadedModel, num_texts: int, *, has_beams: bool) -> Iterator[None]:
    """Raise the errors of a model that continues so many texts as ours, with the remedy."""
    try:
        yield
    except CallbackError as error:
        raise error.error from None
    except torch.OutOfMemoryError as error:
        raise NextfillError(
            f"{amount(num_texts, 'text')} at once: too much for the memory of {loaded.device}. "
            "Give a smaller --generation-batch-size, --num-beams or --max-new-tokens."
        ) from error
    except REFUSALS as error:
        raise ModelError(
            f"{loaded.name}, a {type(loaded.model).__name__}, cannot "
            f"{'search with beams' if has_beams else 'continue this text'}: "
            f"{type(error).__name__}: {error}"
        ) from error
