"""Refusals of requests, in the shapes that clients of OpenAI's and of Hugging Face's API read."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

RETRY_S = {429: 1, 503: 5}
"""Seconds after which to come again: a model is loaded in about as many."""


class RequestError(Exception):
    """A request that is refused.

    Args:
        message: What was found, what was expected and what to send.
        status: Of HTTP.
        param: The field of the body.
        code: A word for programs.
    """

    def __init__(
        self, message: str, status: int = 400, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code

    @property
    def kind(self) -> str:
        """OpenAI's type of the error."""
        kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
        kinds |= {429: "rate_limit_error", 503: "overloaded_error", 500: "server_error"}
        return kinds.get(self.status, "invalid_request_error")

    def to_json(self, *, for_hub: bool = False) -> dict[str, Any]:
        """Return the body of the answer."""
        if for_hub:
            kind = "validation" if self.status < 429 else "overloaded"
            return {"error": self.message, "error_type": kind}
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}

    def answer(self, *, for_hub: bool = False) -> JSONResponse:
        """Return the answer."""
        headers = {}
        if self.status in RETRY_S:
            headers["Retry-After"] = str(RETRY_S[self.status])
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):
            headers["Connection"] = "close"
        return JSONResponse(self.to_json(for_hub=for_hub), self.status, headers)
