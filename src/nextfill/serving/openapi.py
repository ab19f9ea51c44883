"""The description of the API, as OpenAPI has it, made from the fields of the bodies.

Source:
    https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from nextfill.core import VERSION
from nextfill.serving.request_fields import ChatBody, CompletionBody, HubBody, ScoreBody

_REFERENCE = "#/components/schemas/{model}"

_OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_HUB_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
_REFUSALS = {
    "400": "The request cannot be done as it is.",
    "401": "A wrong key, or none.",
    "403": "Asked by a name that is not of this machine.",
    "404": "No such model.",
    "408": "The body did not come.",
    "413": "The body is too large.",
    "415": "The body is announced as something other than JSON.",
    "429": "Too many wait already.",
    "503": "Not ready, or about to end.",
}
_POSTS: dict[str, tuple[type[BaseModel], str, bool]] = {
    "/v1/completions": (CompletionBody, "Continue a text, as OpenAI's API does.", True),
    "/v1/chat/completions": (ChatBody, "Answer in a chat, as OpenAI's API does.", True),
    "/models/{name}": (HubBody, "Fill or continue a text, as Hugging Face's API does.", True),
    "/": (HubBody, "The same, of the only model.", True),
    "/score": (ScoreBody, "What each token of a text costs, in nats.", False),
}
_GETS = {
    "/": ("A page to try the models on.", "text/html"),
    "/health": ("Whether the process answers.", "application/json"),
    "/ready": ("Whether the models are loaded.", "application/json"),
    "/metrics": ("Figures for Prometheus.", "text/plain"),
    "/openapi.json": ("This description.", "application/json"),
    "/v1/models": ("The models.", "application/json"),
    "/v1/models/{name}": ("One of them.", "application/json"),
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


@cache
def description() -> dict[str, Any]:
    """Return the description of the API."""
    bodies = [body for body, _, _ in _POSTS.values()]
    _, schemas = models_json_schema(
        [(body, "validation") for body in dict.fromkeys(bodies)], ref_template=_REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for path, (told, kind) in _GETS.items():
        answers = {"200": {"description": "Done.", "content": {kind: {}}}, **_refusals(path)}
        paths.setdefault(path, {})["get"] = _operation(path, told, answers)
    for path, (body, told, streams) in _POSTS.items():
        content: dict[str, Any] = {"application/json": {}}
        if streams:
            content["text/event-stream"] = {}
        answers = {"200": {"description": "Done.", "content": content}, **_refusals(path)}
        reference = {"$ref": _REFERENCE.format(model=body.__name__)}
        paths.setdefault(path, {})["post"] = {
            **_operation(path, told, answers),
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": reference}},
            },
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Nextfill", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(path: str, told: str, answers: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": told, "responses": answers}
    if "{name}" in path:
        operation["parameters"] = [_NAME]
    return operation


def _refusals(path: str) -> dict[str, Any]:
    shape = _HUB_ERROR if path in ("/", "/models/{name}") else _OPENAI_ERROR
    if path == "/ready":
        shape = {"type": "object"}
    return {
        status: {"description": told, "content": {"application/json": {"schema": shape}}}
        for status, told in _REFUSALS.items()
    }
