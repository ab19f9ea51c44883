"""The models of a server, found by name, and the limits of what may be asked of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.config import Objective, ServingConfig
from nextfill.core.errors import nearest
from nextfill.serving.http_errors import RequestError
from nextfill.serving.prometheus import Counts

if TYPE_CHECKING:  # which brings PyTorch
    from nextfill.serving.served_model import ServedModel


class Service:
    """What a server serves.

    Args:
        names: Of its models, in order, each with its aliases.
        limits: Of requests.
        restarts: How often its process was begun anew, because another was lost.
    """

    def __init__(
        self, names: Mapping[str, tuple[str, ...]], limits: ServingConfig, restarts: int = 0
    ) -> None:
        self.names, self.limits, self.restarts = names, limits, restarts
        self.counts = Counts()
        self.started = int(time.time())
        self.is_ending = False
        self._models: dict[str, ServedModel] = {}

    @property
    def is_ready(self) -> bool:
        """Whether all models are loaded and decode."""
        loaded = self.loaded_models()
        return len(loaded) == len(self.names) and all(model.loop.is_alive for model in loaded)

    def loaded_models(self) -> list[ServedModel]:
        """Return the models that are loaded, in the order of their names."""
        return [self._models[name] for name in self.names if name in self._models]

    def add(self, model: ServedModel) -> None:
        """Serve a model that is loaded."""
        self._models[model.name] = model

    def model_named(self, name: str | None, kind: Objective | None = None) -> ServedModel:
        """Return a model by its name; without one the first that does what is asked.

        Raises:
            RequestError: Where there is none, or it does something else.
        """
        if self.is_ending or not self.is_ready:
            state = "The server ends" if self.is_ending else "The models are not loaded yet"
            raise RequestError(f"{state}: try again later.", 503, code="not_ready")
        models = self.loaded_models()
        listed = ", ".join(self.names)
        if name is None:
            fitting = [one for one in models if kind in (None, one.kind)]
            if fitting:
                return fitting[0]
            raise _wrong_kind(models[0], kind)
        for model in models:
            if name in (model.name, *model.aliases):
                if kind not in (None, model.kind):
                    raise _wrong_kind(model, kind)
                return model
        near = nearest(name[:80], self.names)
        shown = name[:80].encode("utf-8", "replace").decode()
        raise RequestError(
            f"There is no model '{shown}' here.{near} There is: {listed}.",
            404,
            param="model",
            code="model_not_found",
        )

    def described(self, model: ServedModel) -> dict[str, Any]:
        """Return a model in the shape of OpenAI's API, with what it does."""
        return {
            "id": model.name,
            "object": "model",
            "created": self.started,
            "owned_by": "nextfill",
            "objective": model.kind,
            "before": model.before,
            "special_tokens": [str(one) for one in model.tokenizer.all_special_tokens],
            "max_model_len": model.room,
            "chat": bool(getattr(model.tokenizer, "chat_template", None)),
            "mask_token": model.tokenizer.mask_token if model.kind == "masked" else None,
        }

    def check_room(self, model: ServedModel, encoded: Sequence[Sequence[int]], most: int) -> None:
        """Refuse more new tokens than the server makes, or than a model has positions for."""
        allowed, longest = self.limits.max_answer_tokens, max(map(len, encoded))
        if most > allowed:
            raise RequestError(
                f"max_tokens: found {most}, and this server makes {allowed} at most "
                "(--max-answer-tokens): send a smaller number.",
                param="max_tokens",
            )
        if model.room is not None and longest + most > model.room:
            raise RequestError(
                f"This model's maximum context length is {model.room} tokens: found {longest} of "
                f"the prompt and max_tokens {most}. Send a shorter prompt, or max_tokens "
                f"{max(0, model.room - longest)} at most.",
                param="max_tokens",
                code="context_length_exceeded",
            )


def _wrong_kind(model: ServedModel, kind: str | None) -> RequestError:
    does = {
        "causal": "continues texts and fills no blanks: ask /v1/completions",
        "masked": f"fills blanks and continues no texts: ask /models/{model.name}",
    }
    return RequestError(
        f"{model.name} is a {model.kind} model, not a {kind} one: it {does[model.kind]}.",
        param="model",
        code="wrong_kind_of_model",
    )


def model_names(typed: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the names that models are asked for by, each with its aliases.

    A folder is asked for by its own name, and by the path as it was typed.

    Example:
        >>> model_names(["builtin:base-causal"])
        {'builtin:base-causal': ()}
    """
    short = {}
    for name in typed:
        is_folder = "builtin:" not in name and Path(name).expanduser().is_dir()
        short[name] = Path(name).expanduser().resolve().name if is_folder else name
    own = [*short.values()]
    return {
        (brief if own.count(brief) == 1 else name): ((name,) if brief != name else ())
        for name, brief in short.items()
    }
