"""Settings of a server: where it listens, who may use it, and how much of it.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass, field, fields
from typing import Annotated

from nextfill.config.bounds import Ge, Gt, Le, MinLen
from nextfill.config.options import Section, option
from nextfill.config.settings.command_settings import Device, LogLevel, Precision, WeightBits
from nextfill.config.settings.model_settings import ModelConfig


@dataclass(frozen=True, kw_only=True, repr=False)
class ServingConfig(Section):
    """Where a server listens, who may use it, and how much of it."""

    host: Annotated[str, MinLen(1)] = option(
        "127.0.0.1", "address to listen at; 0.0.0.0 is open to the network"
    )
    port: Annotated[int, Ge(0), Le(65535)] = option(8000, "port to listen at; 0 for a free one")
    api_key: Annotated[str, MinLen(1)] | None = option(
        None, "key that clients have to give; default: NEXTFILL_API_KEY in the environment, if any"
    )
    before: bool = option(
        False, "serve the model that a run began from, too, as NAME:before, for the page to compare"
    )
    max_concurrent: Annotated[int, Ge(1), Le(4096)] = option(
        32, "texts that grow at once, in one step of the model"
    )
    max_queued: Annotated[int, Ge(0), Le(65536)] = option(
        128, "texts that may wait for their turn; more are refused with status 429"
    )
    max_prompt_tokens: Annotated[int, Ge(1)] | None = option(
        None, "tokens of a prompt at most; default: as many as the model has positions"
    )
    max_answer_tokens: Annotated[int, Ge(1)] = option(
        1024, "tokens that a request may ask for at most"
    )
    max_body_bytes: Annotated[int, Ge(1024)] = option(
        1_000_000, "bytes of a request at most; more are refused with status 413"
    )
    max_seconds: Annotated[float, Gt(0)] = option(
        300.0, "seconds that a request may take; a text ends there with what it has"
    )

    def __repr__(self) -> str:
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        shown = (f"{name}={'...' if name == 'api_key' else repr(v)}" for name, v in values)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, kw_only=True, repr=False)
class ServeConfig(Section):
    """Settings of `nextfill serve`."""

    device: Device = option("auto", "where to compute")
    precision: Precision = option(
        "fp32", "fp32 gives the same text at a seed whoever else is served"
    )
    weights: WeightBits = option(
        "full", "int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured"
    )
    log_level: LogLevel | None = option(
        None,
        "what to tell on stderr: error, warning (as --quiet), info (progress, too) or debug (the "
        "libraries' logs, too); default of a command: info",
    )
    model: ModelConfig = field(default_factory=ModelConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
