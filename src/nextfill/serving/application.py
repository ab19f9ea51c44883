"""The application of a server: its addresses, its refusals, and the count of what was answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nextfill.serving import hub_routes, openai_routes, status_routes
from nextfill.serving.access import Access
from nextfill.serving.http_errors import RequestError
from nextfill.serving.request_completions import GoneError
from nextfill.serving.service import Service

_CLIENT_GONE = 499

Endpoint = Callable[[Request], Awaitable[Response]]

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/", status_routes.show_page),
    ("POST", "/", hub_routes.infer),
    ("GET", "/health", status_routes.health),
    ("GET", "/ready", status_routes.ready),
    ("GET", "/metrics", status_routes.tell_metrics),
    ("GET", "/openapi.json", status_routes.describe_api),
    ("GET", "/v1/models", openai_routes.list_models),
    ("GET", "/v1/models/{name:path}", openai_routes.describe_model),
    ("POST", "/v1/completions", openai_routes.complete),
    ("POST", "/v1/chat/completions", openai_routes.chat),
    ("POST", "/models/{name:path}", hub_routes.infer),
    ("POST", "/score", hub_routes.score),
)


def application(service: Service, host: str) -> ASGIApp:
    """Return the application of ASGI that serves models at an address."""
    routes = [Route(path, endpoint, methods=[method]) for method, path, endpoint in ROUTES]
    app = Starlette(
        routes=routes,
        exception_handlers={
            RequestError: _refused,
            GoneError: _nobody_there,
            HTTPException: _no_such_address,
            Exception: _defect,
        },
    )
    app.state.service = service
    return _Counted(Access(app, service.limits.api_key, host), service)


def _is_for_hub(request: Request) -> bool:
    path = request.url.path
    return path.startswith("/models/") or path == "/"


async def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, RequestError) else RequestError(str(error), 500)
    return refusal.answer(for_hub=_is_for_hub(request))


async def _nobody_there(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_GONE)


async def _no_such_address(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    known = sorted({path for _, path, _ in ROUTES})
    words = {
        404: f"There is nothing at {request.url.path[:200]}. There is: {', '.join(known)}.",
        405: f"{request.method} is not for {request.url.path[:200]}.",
    }
    answer = RequestError(words.get(status, str(error)), status).answer(
        for_hub=_is_for_hub(request)
    )
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _defect(request: Request, error: Exception) -> Response:
    return RequestError("The server has a defect; its own output tells more.", 500).answer(
        for_hub=_is_for_hub(request)
    )


class _Counted:
    """Counts the requests to an application, and how long each took."""

    def __init__(self, inner: ASGIApp, service: Service) -> None:
        self._inner, self._service = inner, service
        self._known = [path for _, path, _ in ROUTES if "{" not in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, status = time.monotonic(), _CLIENT_GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, noted)
        finally:
            path = scope["path"]
            named = [one for one in ("/models/", "/v1/models/") if path.startswith(one)]
            shown = path if path in self._known else f"{named[0]}NAME" if named else "other"
            self._service.counts.add(shown, status, time.monotonic() - began)
