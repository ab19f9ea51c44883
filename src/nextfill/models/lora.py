"""Adapters (LoRA) through PEFT: small matrices are trained, the model's own weights stay.

PEFT puts its layers into the model in place, so that everything else goes on with the same model.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextfill.config import LoraConfig, Objective
from nextfill.core.errors import ConfigError, ModelError, nearest
from nextfill.models.configuration import check_pattern, read_json
from nextfill.models.libraries import auto_class, library_errors
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.location import ADAPTER_CONFIG
from nextfill.models.model_files import TensorHeader, read_headers
from nextfill.models.weights import check_complete, check_numbers

ADAPTER_WEIGHTS = "adapter_model.safetensors"

_KINDS = ("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "HRA")
"""Kinds that put layers of their own into a model and read nothing else."""
_FOREIGN = ("megatron_config", "lora_ga_config", "corda_config", "layer_replication")
"""Settings that import a module by name, read a pickle, or make the model another one."""
_RANKS = ("r", "rank_pattern", "init_r", "target_r")


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers that an adapter goes on, by name: all but head and embeddings.

    Source:
        Dettmers et al. 2023, QLoRA, section 4: adapters on every linear layer of the blocks match
        full fine-tuning, on attention alone they do not.
    """
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def add_adapter(loaded: LoadedModel, lora: LoraConfig, *, seed: int) -> LoadedModel:
    """Put a new adapter on a model in place, which changes none of its outputs yet.

    Source:
        Hu et al. 2021, LoRA.
    """
    if loaded.adapter is not None:
        raise ConfigError(
            [
                f"{loaded.name} has an adapter already, which is trained on: leave --lora-rank "
                "out, or merge it first (train with --lora-merge)."
            ]
        )
    layers = adaptable_layers(loaded.model)
    names = {name.rpartition(".")[2] for name in layers}
    if lora.targets:
        targets = _named_targets(lora.targets, names)
    else:
        targets = _accepted(loaded.model, loaded.objective, names)
    if not targets:
        raise ConfigError([f"{loaded.name} has no linear layer that an adapter can go on."])
    torch.manual_seed(seed)
    kinds = [type(one) for name, one in layers.items() if name.rpartition(".")[2] in targets]
    is_conv1d = all(kind is not nn.Linear for kind in kinds)
    settings = _peft_config(lora, targets, loaded.objective, is_conv1d=is_conv1d)
    try:
        return replace(loaded, adapter=_inject(loaded.model, settings))
    except ValueError as error:
        raise ConfigError([f"--lora-rank: {loaded.name} takes no adapter: {error}"]) from error


def _named_targets(names_in_settings: str, names: set[str]) -> list[str]:
    targets = [target.strip() for target in names_in_settings.split(",")]
    if "all-linear" in targets:  # as PEFT has it
        raise ConfigError(
            ["--lora-targets all-linear: every linear layer is the default: leave it out."]
        )
    problems = [
        f"--lora-targets: the model has no linear layer '{name}'.{nearest(name, names)} "
        f"There are: {', '.join(sorted(names))}."
        for name in targets
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)
    return targets


def _accepted(model: nn.Module, objective: Objective, names: set[str]) -> list[str]:
    """Leave out layers that PEFT refuses, because a fused kernel goes past them.

    PEFT tries them on a copy of the model without memory, one name at a time.
    """

    def accepts(targets: list[str]) -> bool:
        with torch.device("meta"):
            empty = auto_class(objective).from_config(model.config)
        try:
            _inject(empty, _peft_config(LoraConfig(rank=1), targets, objective, is_conv1d=False))
        except ValueError:
            return False
        return True

    ordered = sorted(names)
    return ordered if accepts(ordered) else [name for name in ordered if accepts([name])]


def _peft_config(
    lora: LoraConfig, targets: list[str], objective: Objective, *, is_conv1d: bool
) -> Any:
    import peft

    rank = lora.rank or 0
    return peft.LoraConfig(
        # PEFT has no such type for masked models, and none is what its own examples give them.
        task_type="CAUSAL_LM" if objective == "causal" else None,
        r=rank,
        lora_alpha=2 * rank if lora.alpha is None else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=is_conv1d,
    )


def _inject(model: nn.Module, settings: Any) -> Any:
    import peft

    base, settings.base_model_name_or_path = settings.base_model_name_or_path, None
    with _quiet():
        adapter = peft.get_peft_model(model, settings)  # would put the local folder's path there
    settings.base_model_name_or_path = base
    return adapter


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress PEFT's warnings about its own use of transformers' names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out")
        yield


def read_adapter(base: LoadedModel, folder: Path, name: str) -> LoadedModel:
    """Put a saved adapter, which training may go on with, on its model in place."""
    import peft
    from safetensors.torch import load_file

    check_adapter_files(folder, name, (key for key, _ in base.model.named_modules()))
    advice = f"Expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}, for the model {base.name}."
    with library_errors(f"The adapter {name} cannot be read from {folder}", advice):
        weights = load_file(folder / ADAPTER_WEIGHTS)
        settings = peft.PeftConfig.from_pretrained(str(folder), local_files_only=True)
        settings.inference_mode = False
        adapter = _inject(base.model, settings)
    expected = peft.get_peft_model_state_dict(adapter, save_embedding_layers=False)
    both = expected.keys() & weights.keys()
    check_complete(
        name,
        f"{type(base.model).__name__} with this adapter",
        missing=expected.keys() - weights.keys(),
        mismatched=[key for key in both if expected[key].shape != weights[key].shape],
    )
    peft.set_peft_model_state_dict(adapter, weights)
    check_numbers(base.model, name)
    unexpected = tuple(sorted(weights.keys() - expected.keys()))
    return replace(base, name=name, adapter=adapter, unexpected=base.unexpected + unexpected)


def save_adapter(loaded: LoadedModel, folder: Path) -> None:
    """Write the adapter alone, in PEFT's format, naming the model it is for."""
    loaded.adapter.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a form with nothing filled in
    path, settings = folder / ADAPTER_CONFIG, loaded.adapter.peft_config["default"]
    tree = json.loads(path.read_text("utf-8"))
    for key, value in tree.items():
        if isinstance(getattr(settings, key, None), set):  # whose order is random
            tree[key] = sorted(value)
    path.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", "utf-8")


def name_base(loaded: LoadedModel, name: str, revision: str | None) -> None:
    """Record the model that an adapter is for in its settings."""
    settings = loaded.adapter.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = name, revision


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """Add the adapter to the model's own weights, in place, which leaves its outputs the same."""
    with _quiet():
        return replace(loaded, model=loaded.adapter.merge_and_unload(), adapter=None)


def check_adapter_files(folder: Path, name: str, modules: Iterable[str]) -> None:
    """Refuse an adapter that PEFT should not read; the modules are those of its model.

    Its configuration may name modules of Python to import, files to unpickle, and regular
    expressions that PEFT tries on every module's name.
    """
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        others = sorted(p.name for p in folder.glob("adapter_model*"))
        found = f"found {', '.join(others[:5])}" if others else "found none"
        raise ModelError(
            f"The adapter {name} has no weights in {ADAPTER_WEIGHTS} ({found} in {folder}). "
            "Pickled weights can run code and are not read: save it again with PEFT's "
            "save_pretrained."
        )
    path = folder / ADAPTER_CONFIG
    settings = read_json(path)
    kind = settings.get("peft_type")
    if kind not in _KINDS:
        raise ModelError(
            f"{path} says peft_type is {kind!r}; expected one of {', '.join(_KINDS)}: others need "
            "more than their own weights."
        )
    for key in _FOREIGN:
        if settings.get(key):
            raise ModelError(
                f"{path} sets {key}, which an adapter that is only put on a model does not need: "
                "remove it, or merge the adapter with the program that made it."
            )
    _check_ranks(settings, read_headers([weights]), path)
    beginnings = list(_beginnings(modules))
    for pattern in _patterns(settings):
        with library_errors(f"{path}: the regular expression {pattern[:200]!r} is none"):
            compiled = re.compile(pattern)
            check_pattern(pattern, compiled.fullmatch, beginnings, str(path))


def _check_ranks(
    settings: Mapping[str, Any], headers: Mapping[str, TensorHeader], path: Path
) -> None:
    """Refuse a rank that the weights do not have, whose matrices could be of any size."""
    largest = max((min(one.shape) for one in headers.values() if len(one.shape) > 1), default=1)
    for key in _RANKS:
        value = settings.get(key)
        for rank in value.values() if isinstance(value, dict) else [value]:
            if isinstance(rank, int) and rank > max(largest, 64):
                raise ModelError(
                    f"{path} says {key} is a rank of {rank.bit_length()} bits, and the largest in "
                    f"{ADAPTER_WEIGHTS} is {largest}. Fetch both again."
                )


def _patterns(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the regular expressions that PEFT makes of an adapter's settings."""
    for key in ("target_modules", "exclude_modules"):
        if isinstance(settings.get(key), str):
            yield settings[key]
    for one in _strings(settings.get("layers_pattern")):
        yield rf"(?:^|.*?\.){one}\.(?P<idx>\d+)\."
    for one in _strings(settings.get("modules_to_save")):
        yield rf"(^|.*\.){one}($|\..*)"
    for key in ("rank_pattern", "alpha_pattern"):
        if isinstance(settings.get(key), dict):
            yield from (rf"(.*\.)?({one})$" for one in settings[key])


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _beginnings(modules: Iterable[str]) -> Iterator[str]:
    """Yield the beginnings of modules' names; names that differ in numbers alone count as one."""
    kinds = {re.sub(r"\d+", "0", name): name for name in modules if name}
    for name in kinds.values():
        for length in range(1, len(name) + 1):
            yield name[:length]
