"""Adapters (LoRA) through PEFT: small matrices are trained, the model's own weights stay.

PEFT puts its layers into the model in place, so that everything else, from the probes to
generation, goes on with the same model and never knows. An adapter is saved as PEFT's own
directory and needs the model it was made for.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextfill.config import LoraConfig, Objective
from nextfill.core.errors import ConfigError, ModelError, NextfillError, nearest
from nextfill.models.adapter_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    check_adapter_files,
    read_base,
)
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.location import model_folder
from nextfill.models.model_folder import library_errors
from nextfill.models.model_objective import auto_class
from nextfill.models.weights import check_complete, check_numbers


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Find the linear layers that an adapter goes on: all but the head and the embeddings.

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
    """Put a new adapter on a model, which changes none of its outputs yet.

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
        chosen = _chosen(lora.targets, names)
    else:
        chosen = _accepted(loaded.model, loaded.objective, names)
    if not chosen:
        raise ConfigError([f"{loaded.name} has no linear layer that an adapter can go on."])
    torch.manual_seed(seed)
    is_conv1d = _all_conv1d(layers, chosen)
    settings = _peft_config(lora, chosen, loaded.objective, is_conv1d=is_conv1d)
    try:
        return replace(loaded, adapter=_inject(loaded.model, settings))
    except ValueError as error:
        raise ConfigError([f"--lora-rank: {loaded.name} takes no adapter: {error}"]) from error


def read_adapter(base: LoadedModel, folder: Path, name: str) -> LoadedModel:
    """Put a saved adapter on the model it was made for."""
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


@dataclass(frozen=True)
class Place:
    """Where a model lies.

    Args:
        name: As the user, or the adapter for it, names it.
        folder: Where it lies on this machine.
        revision: The commit on the Hub it was fetched at, else None.
    """

    name: str
    folder: Path
    revision: str | None


def lineage(name: str, revision: str | None) -> list[Place]:
    """Return where a model lies, where that lies which it is an adapter for, and so on."""
    folder, commit = model_folder(name, revision, kind="model")
    found = [Place(name, folder, commit)]
    while (base := read_base(found[-1].folder)) is not None:
        its_name, its_revision = base
        try:
            folder, commit = model_folder(its_name, its_revision, kind="model")
        except NextfillError as error:
            raise ModelError(f"{found[-1].name} is an adapter for {its_name}: {error}") from error
        if any(folder.resolve() == place.folder.resolve() for place in found):
            circle = ", which is one for ".join([*(place.name for place in found), its_name])
            raise ModelError(
                f"{circle}: adapters in a circle, with no model in it. Name the model in "
                f"base_model_name_or_path of {found[-1].folder / ADAPTER_CONFIG}."
            )
        found.append(Place(its_name, folder, commit))
    return found


def save_adapter(loaded: LoadedModel, folder: Path) -> None:
    """Write the adapter alone, in PEFT's format, naming the model it is for."""
    loaded.adapter.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a form with nothing filled in
    path, settings = folder / ADAPTER_CONFIG, loaded.adapter.peft_config["default"]
    tree = json.loads(path.read_text("utf-8"))
    for key, value in tree.items():
        if isinstance(getattr(settings, key, None), set):  # whose order is that of chance
            tree[key] = sorted(value)
    path.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", "utf-8")


def name_base(loaded: LoadedModel, name: str, revision: str | None) -> None:
    """Record which model the adapter is for."""
    settings = loaded.adapter.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = name, revision


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """Add the adapter to the model's own weights, in place, which leaves its outputs the same."""
    with _quiet():
        return replace(loaded, model=loaded.adapter.merge_and_unload(), adapter=None)


def _chosen(targets: str, names: set[str]) -> list[str]:
    wanted = [target.strip() for target in targets.split(",")]
    problems = [
        f"--lora-targets: the model has no linear layer '{name}'.{nearest(name, names)} "
        f"There are: {', '.join(sorted(names))}."
        for name in wanted
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)
    return wanted


def _accepted(model: nn.Module, objective: Objective, names: set[str]) -> list[str]:
    """Leave out layers that PEFT refuses, because a fused kernel goes past them.

    Which these are is asked of PEFT on a copy of the model without memory, one name at a time.
    """

    def accepts(chosen: list[str]) -> bool:
        with torch.device("meta"):
            empty = auto_class(objective).from_config(model.config)
        try:
            _inject(empty, _peft_config(LoraConfig(rank=1), chosen, objective, is_conv1d=False))
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


def _all_conv1d(layers: dict[str, nn.Module], chosen: list[str]) -> bool:
    kinds = [type(m) for name, m in layers.items() if name.rpartition(".")[2] in chosen]
    return all(kind is not nn.Linear for kind in kinds)


def _inject(model: nn.Module, settings: Any) -> Any:
    import peft

    base, settings.base_model_name_or_path = settings.base_model_name_or_path, None
    with _quiet():
        adapter = peft.get_peft_model(model, settings)  # would put the local folder's path there
    settings.base_model_name_or_path = base
    return adapter


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of PEFT about names that are to go from transformers to itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out")
        yield
