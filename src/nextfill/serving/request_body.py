"""The bodies of requests: read within limits of size and time, and checked against their fields."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from nextfill.core.amounts import amount, with_article
from nextfill.core.errors import nearest
from nextfill.serving.http_errors import RequestError

_DROPPED = 64
"""Bodies of the largest size whose bytes are read to be dropped, before the connection is cut."""

B = TypeVar("B", bound=BaseModel)

_PATIENCE_S = 30.0
"""Seconds in which a body has to come."""


async def read_body(request: Request, kind: type[B], most_bytes: int) -> B:
    """Return the body of a request, refusing one that is no JSON, too large, or of other fields."""
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content != "application/json":
        found = content or "none"
        raise RequestError(
            f"Send the header Content-Type with application/json, in the place of {found}.", 415
        )
    packed = request.headers.get("content-encoding", "identity")
    if packed.lower() != "identity":
        raise RequestError(f"Send the body without Content-Encoding: found {packed[:40]}.", 415)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            raw = await _read(request, most_bytes)
    except TimeoutError:
        raise RequestError(f"The body did not come within {_PATIENCE_S:g} s.", 408) from None
    return _checked(_parsed(raw), kind)


async def _read(request: Request, most_bytes: int) -> bytes:
    too_large = RequestError(
        f"The body is larger than {amount(most_bytes, 'byte')}, which --max-body-bytes of this "
        "server allows.",
        413,
    )
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most_bytes:
                pieces.clear()  # the rest is read and dropped, or the answer would be lost with it
                if size > _DROPPED * most_bytes:
                    raise too_large
                continue
            pieces.append(piece)
    except ClientDisconnect:
        raise RequestError("The client went away.", 400) from None
    if size > most_bytes:
        raise too_large
    return b"".join(pieces)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _parsed(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"The body is not UTF-8: found byte 0x{raw[error.start]:02x} at {error.start}. Send "
            "JSON in UTF-8."
        ) from None
    try:
        return _whole(json.loads(text, parse_constant=_refuse_constant), text)
    except UnicodeEncodeError as error:
        half = f"{error.object[error.start]!a}"
        raise RequestError(f"The body holds {half}, which is half a character.") from None
    except RecursionError:
        raise RequestError("The body is JSON nested too deeply.") from None
    except ValueError as error:  # numbers of thousands of digits, too
        raise RequestError(f"The body is no JSON: {str(error)[:200]}.") from None


def _whole(data: Any, text: str) -> Any:
    """Return what a text holds, refusing halves of characters, which no UTF-8 has."""
    if "\\ud" in text.lower():
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    return data


def _checked(data: Any, kind: type[B]) -> B:
    if not isinstance(data, dict):
        raise RequestError(f"The body is {with_article(data)}. Expected a JSON object.")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"] if not _is_type(part))
        name = str(first["loc"][0]) if first["loc"] else None
        if first["type"] == "extra_forbidden":
            near = nearest(place[:80], kind.model_fields)
            message = f"{_shown(place)}: there is no such field here.{near} Leave it out."
        else:
            message = (
                f"{_shown(place) or 'body'}: {_shown(first['msg'].removeprefix('Value error, '))}"
            )
            message += "" if message.endswith(".") else "."
        raise RequestError(message, param=None if name is None else _shown(name)) from None


def _is_type(part: object) -> bool:
    """Tell the names that pydantic gives to the kinds of a value from the fields of a body."""
    return (isinstance(part, str) and any(c in part for c in "[(")) or part in _KINDS


_KINDS = ("str", "int", "float", "bool", "dict")


def _shown(text: str) -> str:
    """Return text of a client as it can be sent back."""
    return text[:300].encode("utf-8", "replace").decode("utf-8")
