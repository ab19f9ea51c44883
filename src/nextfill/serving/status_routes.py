"""The page, the description of the API, and the state of a server: health, readiness, figures."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from nextfill.serving.http_errors import RETRY_S
from nextfill.serving.openapi import description
from nextfill.serving.playground import page, page_headers
from nextfill.serving.prometheus import label, metric
from nextfill.serving.service import Service


async def show_page(request: Request) -> Response:
    """Answer ``GET /``."""
    return HTMLResponse(page(), headers=page_headers())


async def health(request: Request) -> Response:
    """Answer ``GET /health``: whether the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Answer ``GET /ready``: whether the models are loaded."""
    service: Service = request.app.state.service
    if service.is_ready and not service.is_ending:
        return JSONResponse({"status": "ready"})
    state = "ending" if service.is_ending else "loading"
    return JSONResponse({"status": state}, 503, {"Retry-After": str(RETRY_S[503])})


async def describe_api(request: Request) -> Response:
    """Answer ``GET /openapi.json``."""
    return JSONResponse(description())


async def tell_metrics(request: Request) -> Response:
    """Answer ``GET /metrics``."""
    service: Service = request.app.state.service
    models = {f'model="{label(one.name)}"': one.loop for one in service.loaded_models()}
    figures = (
        ("tokens_made_total", "counter", "Tokens that were made.", "tokens_made"),
        ("tokens_read_total", "counter", "Tokens of prompts that were read.", "tokens_read"),
        ("steps_total", "counter", "Steps, each a token for all texts that grow.", "steps"),
        ("texts_growing", "gauge", "Texts that grow.", "num_active"),
        ("texts_waiting", "gauge", "Texts and other work that wait.", "num_waiting"),
    )
    lines = list(service.counts.lines())
    told = "Starts of the process that holds the models, after another was lost."
    lines += metric("nextfill_restarts_total", "counter", told, {"": service.restarts})
    for name, kind, told, attribute in figures:
        values = {of: float(getattr(loop, attribute)) for of, loop in models.items()}
        lines += metric(f"nextfill_{name}", kind, told, values)
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return PlainTextResponse("\n".join(lines) + "\n", media_type=kind)
