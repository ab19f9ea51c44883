"""The libraries underneath: their noise, their errors, their classes and their private names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import DEBUG, LogRecord, getLogger
from threading import RLock
from typing import TYPE_CHECKING, Any

from nextfill.config import Objective
from nextfill.core.errors import ModelError, NextfillError

if TYPE_CHECKING:
    from torch import Tensor, nn

AUTO_CLASSES = {"causal": "AutoModelForCausalLM", "masked": "AutoModelForMaskedLM"}
"""transformers' class that loads a model for an objective."""

REFUSALS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    NameError,
    AttributeError,
    AssertionError,
    ImportError,
)
"""Errors of a model given arguments that it does not take."""

GONE = (
    "mega",
    "nezha",
    "open-llama",
    "qdqbert",
    "speech_to_text_2",
    "transfo-xl",
    "xlm-prophetnet",
)
"""Types of causal and masked models that transformers 5 has no more and 4.57 has."""

_RAISED = (*REFUSALS, MemoryError, OSError, re.error)
_RAISED_BY_NAME = {"SafetensorError", "StrictDataclassError", "PanicException"}
"""Types that are no kind of the others; a panic's cannot be imported."""

_LONGEST = 400
"""Characters of a library's message that are shown."""

_FORMATS = {"ctranslate2", "onnx", "onnxruntime", "openvino"}
"""Packages whose own errors are of no built-in type."""

_logging_before: list[tuple[int, bool]] = []
"""The level of transformers' logging before it was made quiet, and whether it showed bars."""

_logging = RLock()
"""Held while that is changed, which is one for all threads."""
_callers: list[None] = []
"""One entry for each verb that is at work, of which the last gives it back."""


@contextmanager
def library_errors(failure: str, advice: str = "") -> Iterator[None]:
    """Turn an error of a library into a `ModelError` that names the failure, it and the advice."""
    try:
        yield
    except NextfillError:
        raise
    except BaseException as error:
        if not _is_library_error(error):
            raise
        end = f" {advice}" if advice else ""
        raise ModelError(f"{failure}: {_in_short(error)}.{end}") from error


def _is_library_error(error: BaseException) -> bool:
    if isinstance(error, _RAISED) or type(error) is Exception:  # as tokenizers raises
        return True
    if type(error).__module__.partition(".")[0] in _FORMATS:
        return True
    return any(base.__name__ in _RAISED_BY_NAME for base in type(error).__mro__)


def _in_short(error: BaseException) -> str:
    """Return an error's type and the beginning of its message, on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_error_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message, without the last full stop."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def quiet_transformers() -> None:
    """Keep transformers' own bars and load reports off the terminal; ours say what matters.

    Where the user has asked for the logs of libraries (``--log-level debug``), only the bars.
    """
    from transformers.utils import logging

    quiet_bitsandbytes()
    with _logging:
        if not _logging_before:
            _logging_before.append((logging.get_verbosity(), logging.is_progress_bar_enabled()))
        if getLogger("nextfill").level != DEBUG:
            logging.set_verbosity_error()
        logging.disable_progress_bar()


def quiet_bitsandbytes() -> None:
    """Keep bitsandbytes from telling that it lacks a kernel which is not used here.

    It does so wherever it is imported, by PEFT for one, on processors with bfloat16.
    """
    getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_of_use)


def _is_of_use(record: LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg) or getLogger("nextfill").level == DEBUG


@contextmanager
def transformers_as_found() -> Iterator[None]:
    """Let transformers speak again afterwards, to the program that goes on with it.

    Its Trainer, for one, shows no progress while it is quiet.
    """
    with _logging:
        _callers.append(None)
    try:
        yield
    finally:
        with _logging:
            _callers.pop()
            if _logging_before and not _callers:
                from transformers.utils import logging

                level, shows_bars = _logging_before.pop()
                logging.set_verbosity(level)
                if shows_bars:
                    logging.enable_progress_bar()


def auto_class(objective: Objective) -> Any:
    """Return transformers' class that loads or makes a model for an objective."""
    import transformers

    return getattr(transformers, AUTO_CLASSES[objective])


# Private names of libraries, each with the reason why no public one will do.


def model_types(objective: Objective) -> dict[str, tuple[str, ...]]:
    """Return the types of model for an objective, each with its classes' names.

    The public mappings import every model to give their classes' names.
    """
    from transformers.models.auto import modeling_auto

    names = {
        "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }[objective]
    return {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in names.items()}


def gone_problem(kind: Any) -> str | None:
    """Return a sentence on a type of model that transformers has no more, None of any other."""
    if kind not in GONE:
        return None
    return (
        f"transformers 5 has no {kind} any more; 4.57 has it. In a checkout of Nextfill make "
        "legacy trains one there, on a token store (docs/architectures.md says how far that goes)."
    )


def model_class(config: Any, objective: Objective) -> tuple[Any, Any]:
    """Return transformers' class for a configuration, and the part of it that makes the model.

    The public auto classes choose it only while they read a checkpoint.
    """
    from transformers.models.auto.auto_factory import _get_model_class

    kind = _get_model_class(config, auto_class(objective)._model_mapping)
    part = config.sub_configs.get("text_config")
    of_text = part is not None and getattr(kind, "config_class", None) == part
    return kind, config.get_text_config() if of_text else config


@contextmanager
def attention_swapped(configs: Sequence[Any], name: str) -> Iterator[None]:
    """Have models of some configurations use an implementation of attention for a while.

    Those that hold others come first, as they set the ones within them, too.
    """
    before = [(one, one._attn_implementation) for one in configs]
    try:
        for config in configs:
            config._attn_implementation = name
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def attention_of(model: Any) -> str | None:
    """Return the implementation of a model's attention; the public setting is what was asked for.

    A model without one, of a state space, has None or what it does not use.
    """
    found = model.config._attn_implementation
    return None if found is None else str(found)


def part_tables(module: nn.Module) -> list[dict[str, Any]]:
    """Return the dicts that hold a module's parts by name; public methods give copies of them."""
    return [vars(module)[name] for name in ("_modules", "_parameters", "_buffers")]


def write_count(tensor: Tensor) -> int:
    """Return how often a tensor was written to, of which PyTorch has no public count."""
    return tensor._version


def is_watched(module: nn.Module) -> bool:
    """Return whether a module has hooks, of which PyTorch tells nobody, or a forward of its own."""
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" in vars(module) or any(vars(module)[name] for name in tables)


def written_out_gelus() -> tuple[type[nn.Module], ...]:
    """Return the classes that compute GELU's tanh approximation operation by operation."""
    from transformers import activations

    return (
        activations.NewGELUActivation,
        activations.FastGELUActivation,
        activations.AccurateGELUActivation,
    )


def rescales(module: nn.Module) -> bool:
    """Return whether a module is RWKV's, which divides its weights by powers of two to evaluate."""
    return hasattr(module, "_rescale_layers")


def undo_rescaling(module: nn.Module) -> bool:
    """Give RWKV its weights back, which it does by itself only when it is called to train."""
    if not rescales(module) or not getattr(module, "layers_are_rescaled", False):
        return False
    was_training = module.training
    module.training = True
    module._rescale_layers()  # type: ignore[operator]
    module.training = was_training
    return True


def weights_of_proxies(model: nn.Module) -> list[Tensor]:
    """Return the weights of experts that PEFT adapts, which it writes onto themselves.

    It registers the sum of weight and adapter as a parametrization for each forward pass, and
    PyTorch, as it begins and ends one, sets the weight to what it is.
    """
    wrappers = (one for one in model.modules() if type(one).__name__ == "ParamWrapper")
    return [wrapper.get_param() for wrapper in wrappers]  # type: ignore[operator]
