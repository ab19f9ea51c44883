"""Adapters (LoRA) through PEFT: small matrices are trained, the model's own weights stay.

PEFT puts its layers into the model in place, so that everything else goes on with the same model.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.config import LoraConfig
from nextfill.core.amounts import amount, verb
from nextfill.core.errors import ConfigError
from nextfill.models.adapters.adapter_files import ADAPTER_WEIGHTS, check_adapter_files
from nextfill.models.adapters.adapter_initialization import (
    FACTORS,
    adapted_layers,
    begin_from_weights,
    plain_adapter,
    weight_by_outputs,
)
from nextfill.models.adapters.adapter_layers import AdaptedLayers, adaptable_layers, choose_layers
from nextfill.models.adapters.layer_use import only_called
from nextfill.models.adapters.peft_injection import inject, peft_settings, quiet_peft
from nextfill.models.adapters.quantization import (
    BLOCK_SIZE,
    dequantize,
    is_quantizable,
    quantize,
    read_quantization,
    write_quantization,
)
from nextfill.models.architecture import configs_of
from nextfill.models.folder.location import ADAPTER_CONFIG
from nextfill.models.folder.weights import check_complete, check_numbers
from nextfill.models.libraries import library_errors
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.model_making import making_models

_IN = "base_model.model."
"""What PEFT puts before the names of a model's modules."""
_TIE = "tie_word_embeddings"


@making_models()
def add_adapter(
    loaded: LoadedModel,
    lora: LoraConfig,
    *,
    seed: int,
    before_quantizing: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Put a new adapter on a model in place, which changes none of its outputs yet.

    Where the settings ask for it, the linear layers that get it are held in 4 bits first.

    Args:
        loaded: The model.
        lora: The settings.
        seed: Seeds the adapter's random matrices.
        before_quantizing: Called while the model is whole, once it is known what is to be adapted.

    Source:
        Hu et al. 2021, LoRA; Kalajdzievski 2023, A Rank Stabilization Scaling Factor for
        Fine-Tuning with LoRA; Liu et al. 2024, DoRA.
    """
    if loaded.adapter is not None:
        raise ConfigError(
            [
                f"{loaded.name} has an adapter already, which is trained on: leave --lora-rank "
                "out, or merge it first (train with --lora-merge)."
            ]
        )
    chosen = choose_layers(loaded, lora)
    layers = adaptable_layers(loaded.model)
    kinds = {type(one) for name, one in layers.items() if _last(name) in chosen.layers}
    is_conv1d = bool(kinds) and nn.Linear not in kinds
    if lora.quantization != "none":
        held = _layers_to_hold(loaded, lora, chosen)
        before_quantizing()
        loaded = _hold(loaded, held, f"--lora-quantization {lora.quantization}")
    torch.manual_seed(seed)
    settings = peft_settings(
        lora,
        chosen.modules,
        chosen.parameters,
        loaded.objective,
        is_conv1d=is_conv1d,
        norms=chosen.norms,
    )
    try:
        adapter = inject(loaded.model, settings)
    except ValueError as error:
        raise ConfigError([f"--lora-rank: {loaded.name} takes no adapter: {error}"]) from error
    if lora.dora:
        _check_lengths(adapter)
    if lora.init in FACTORS:
        begin_from_weights(adapter, lora.init)
    return replace(loaded, adapter=adapter)


def hold_for(loaded: LoadedModel, lora: LoraConfig) -> LoadedModel:
    """Hold a model in 4 bits, in place, as it is below an adapter of some settings."""
    layers = _layers_to_hold(loaded, lora, choose_layers(loaded, lora))
    return _hold(loaded, layers, f"--lora-quantization {lora.quantization}")


def hold_as_in(loaded: LoadedModel, folder: Path, name: str) -> LoadedModel:
    """Hold a model in 4 bits, in place, where an adapter's folder says that its base was."""
    layers = {n: m for n, m in adaptable_layers(loaded.model).items() if is_quantizable(m)}
    held = read_quantization(folder, layers)
    if held is None:
        return loaded
    return _hold(loaded, held, f"{name}, an adapter over weights of 4 bits,")


def _hold(loaded: LoadedModel, layers: Sequence[str], needed_by: str) -> LoadedModel:
    return replace(loaded, quantization=quantize(loaded.model, layers, needed_by))


def _layers_to_hold(loaded: LoadedModel, lora: LoraConfig, chosen: AdaptedLayers) -> list[str]:
    """Return the names of the linear layers below an adapter that can be held in 4 bits."""
    layers = adaptable_layers(loaded.model)
    able = [n for n, one in layers.items() if _last(n) in chosen.layers and is_quantizable(one)]
    held = only_called(loaded.model, able)
    if not held:
        names = ", ".join([*chosen.layers, *chosen.parameters])
        raise ConfigError(
            [
                f"--lora-quantization {lora.quantization}: the adapter of {loaded.name} goes on "
                f"{names}, none of which can be: expected linear layers whose inputs are a "
                f"multiple of {BLOCK_SIZE}, and whose weights nothing else reads: leave it out."
            ]
        )
    return held


def _check_lengths(model: nn.Module) -> None:
    """Refuse DoRA on a weight with rows of zeros, whose direction it would divide by zero."""
    for name, layer in adapted_layers(model):
        rows = weight_by_outputs(layer).norm(dim=1)
        if zeros := int((rows == 0).sum()):
            raise ConfigError(
                [
                    f"--lora-dora: {amount(zeros, 'row')} of the weight of "
                    f"{name.removeprefix(_IN)} {verb(zeros, 'is', 'are')} zero, as that of padding "
                    "often is, and has no direction beside which to train a length: leave it out, "
                    "or --lora-head where that is the head, or name other layers with "
                    "--lora-targets."
                ]
            )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def read_adapter(base: LoadedModel, folder: Path, name: str) -> LoadedModel:
    """Put a saved adapter, which training may go on with, on its model in place."""
    import peft
    from safetensors.torch import load_file

    check_adapter_files(folder, name, (key for key, _ in base.model.named_modules()))
    base = hold_as_in(base, folder, name)
    advice = f"Expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}, for the model {base.name}."
    with library_errors(f"The adapter {name} cannot be read from {folder}", advice):
        weights = load_file(folder / ADAPTER_WEIGHTS)
        settings = peft.PeftConfig.from_pretrained(str(folder), local_files_only=True)
        settings.inference_mode = False
        adapter = inject(base.model, settings)
    expected = peft.get_peft_model_state_dict(adapter, save_embedding_layers=False)
    both = expected.keys() & weights.keys()
    check_complete(
        name,
        f"{type(base.model).__name__} with this adapter",
        missing=expected.keys() - weights.keys(),
        mismatched=[key for key in both if expected[key].shape != weights[key].shape],
    )
    _set_state(adapter, weights)
    check_numbers(base.model, name)
    unexpected = tuple(sorted(weights.keys() - expected.keys()))
    return replace(base, name=name, adapter=adapter, unexpected=base.unexpected + unexpected)


@torch.no_grad()
def _set_state(adapter: Any, state: Mapping[str, Tensor]) -> None:
    """Set the weights of an adapter that has them all, by PEFT's names.

    PEFT renames some on their way to the model, as transformers renames those of older
    checkpoints, and leaves out, without a word, what it has renamed twice: the shared experts of
    Laguna (`shared_experts..up_proj`). So what is not as it should be is set by itself.
    """
    import peft

    peft.set_peft_model_state_dict(adapter, {**state})
    for name, tensor in peft.get_peft_model_state_dict(
        adapter, save_embedding_layers=False
    ).items():
        if name in state and not torch.equal(tensor, state[name].to(tensor)):
            tensor.copy_(state[name])


def save_adapter(loaded: LoadedModel, folder: Path) -> None:
    """Write the adapter alone, in PEFT's format, naming the model it is for."""
    configs = loaded.adapter.peft_config
    own = configs["default"]
    state, configs["default"] = plain_adapter(loaded.adapter, own)
    try:
        loaded.adapter.save_pretrained(folder, save_embedding_layers=False, state_dict=state)
        settings = configs["default"]
    finally:
        configs["default"] = own
    (folder / "README.md").unlink(missing_ok=True)  # a form with nothing filled in
    path = folder / ADAPTER_CONFIG
    tree = json.loads(path.read_text("utf-8"))
    for key, value in tree.items():
        if isinstance(getattr(settings, key, None), set):  # whose order is random
            tree[key] = sorted(value)
    path.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", "utf-8")
    if loaded.quantization is not None:
        write_quantization(loaded.quantization, folder)


def name_base(loaded: LoadedModel, name: str, revision: str | None) -> None:
    """Record the model that an adapter is for in its settings."""
    settings = loaded.adapter.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = name, revision


@making_models()
def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """Add the adapter to the model's own weights, in place, which leaves its outputs the same.

    Weights that are held in 4 bits become dense ones of the same numbers, which the sums need.
    """
    if loaded.quantization is not None:
        loaded = _with_dense_weights(loaded)
    _part_weights(loaded.model)
    with quiet_peft():
        return replace(loaded, model=loaded.adapter.merge_and_unload(), adapter=None)


def merged_copy(loaded: LoadedModel) -> LoadedModel:
    """Return a model with its adapter merged in a copy, or one without an adapter as it is."""
    if loaded.adapter is None:
        return loaded
    copied = copy.deepcopy({"model": loaded.model, "adapter": loaded.adapter})
    return merge_adapter(replace(loaded, **copied))


def _with_dense_weights(loaded: LoadedModel) -> LoadedModel:
    """Give the layers below an adapter dense weights, in place, and put the adapter on again."""
    import peft

    settings = loaded.adapter.peft_config["default"]
    state = peft.get_peft_model_state_dict(loaded.adapter, save_embedding_layers=False)
    model = loaded.adapter.unload()
    dequantize(model)
    adapter = inject(model, settings)
    _set_state(adapter, state)
    adapter.train(loaded.model.training)
    return replace(loaded, model=model, adapter=adapter, quantization=None)


def _part_weights(model: nn.Module) -> None:
    """Give each adapted layer a weight of its own where several places share one.

    A head that shares the embedding's is told apart from it in the configuration, too.
    """
    head, words = model.get_output_embeddings(), model.get_input_embeddings()  # type: ignore[operator]
    tied = head is not None and head.weight is getattr(words, "weight", None)
    places = Counter(id(one) for _, one in model.named_parameters(remove_duplicate=False))
    for _, layer in adapted_layers(model):
        base = layer.get_base_layer()
        weight = getattr(base, "weight", None)  # experts have others, and no adapter by layer
        if weight is not None and places[id(weight)] > 1:
            base.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if tied and head.weight is not words.weight:
        for config in configs_of(model):
            if getattr(config, _TIE, False):
                setattr(config, _TIE, False)
