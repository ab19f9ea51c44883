"""What huggingface_hub raises, in words that say what to type."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from nextfill.core.errors import ConfigError, HubError
from nextfill.core.text_safety import printable

FAILURES = (httpx2.HTTPError, OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What huggingface_hub raises: refusals, a lost connection, files that cannot be uploaded, and
whatever comes of an answer that is none."""


@contextmanager
def hub_errors(doing: str, secret: str | None = None) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into one message that says what to type."""
    try:
        yield
    except (ConfigError, HubError):  # which say everything already
        raise
    except FAILURES as error:
        raise HubError(f"{doing}: {without_token(words_of(error), secret)}") from error


def words_of(error: BaseException) -> str:
    """Say in a sentence what an exception of huggingface_hub means."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return words_of(error.__cause__)  # what happened to one file of several
    if isinstance(error, HubError):
        return str(error)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    meanings: dict[type[Exception], str] = {  # the narrower one comes first
        LocalTokenNotFoundError: "there is no token: type nextfill login, or set HF_TOKEN.",
        OfflineModeIsEnabled: "offline mode is on: unset HF_HUB_OFFLINE.",
        GatedRepoError: "it is gated, and your token has no access to it.",
        RepositoryNotFoundError: "there is no such repository, or your token may not see it.",
    }
    known = [text for kind, text in meanings.items() if isinstance(error, kind)]
    if known and status != 401:  # which the Hub answers for a repository, too
        return known[0]
    if status is not None:
        return _status_words(status, error)
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, httpx2.TransportError):
        return f"the Hub cannot be reached ({type(error).__name__}: {text})."
    return f"{type(error).__name__}: {text}."


def _other_token() -> str:
    """Say how to come by another token; the environment's beats the one that is kept."""
    name = next(
        (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)), ""
    )
    if name:
        return f"it is the one in {name}; unset that, or set it to another"
    return "make one at huggingface.co/settings/tokens, and type nextfill login"


def _status_words(status: int, error: BaseException) -> str:
    fixed = {
        401: f"the Hub does not accept the token (401): {_other_token()}.",
        403: "the token may not do that (403): log in with one that writes, nextfill login.",
        409: "another change is being made there (409).",
        412: "somebody has changed it meanwhile (412).",
        429: "the Hub has had too many requests (429): wait a while.",
    }
    if status in fixed:
        return fixed[status]
    if status >= 500:
        return f"the Hub has a fault of its own ({status}): wait a while."
    text = " ".join(str(error).split())
    return f"the Hub answered {status}: {text[:300]}"


def without_token(text: str, secret: str | None = None) -> str:
    """Return text for the user, in which no token stands, wherever it was repeated from."""
    from huggingface_hub import get_token

    for token in (secret, get_token()):
        if token:
            text = text.replace(token, "(token)")
    return printable(text)
