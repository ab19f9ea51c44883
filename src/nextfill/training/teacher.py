"""The student and the teacher of a run: loaded, held against each other, and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from nextfill.config import DistillationConfig, ModelConfig, TrainConfig
from nextfill.config.problems.distillation_problems import DEFAULT_TEMPERATURE, DEFAULT_WEIGHT
from nextfill.config.settings.model_settings import Live
from nextfill.core.errors import ConfigError, HubError, ModelError, UnreachableModelError
from nextfill.core.progress import Observer
from nextfill.data.source_parts import hub_data_hint
from nextfill.models.architecture import configs_of
from nextfill.models.distillation import Teacher, vocabulary_problem
from nextfill.models.layer_selection import select_layers
from nextfill.models.load import load_model
from nextfill.models.loaded_model import (
    TOKENIZER,
    LoadedModel,
    fitting_block_size,
    origin_checksums,
)
from nextfill.models.loss import router_off
from nextfill.models.objective import objective_of_verb
from nextfill.models.step import StepModule
from nextfill.training.model_trials import choose_isolation


def load_trained(config: TrainConfig, live: Live) -> LoadedModel:
    """Load the model to train: a whole one, or some of its layers where that is asked for."""
    layers = config.distillation.student_layers
    dropout = config.training.dropout
    try:
        loaded = load_model(
            config.model, config.objective, seed=config.seed, dropout=dropout, live=live
        )
    except UnreachableModelError as error:
        raise UnreachableModelError(f"{error}{hub_data_hint(config.data)}") from error
    return loaded if layers is None else select_layers(loaded, layers, config.model)


def load_teacher(config: TrainConfig, student: LoadedModel) -> LoadedModel | None:
    """Load a run's teacher, None if it has none; refuse one that does not fit its student.

    It has its student's tokenizer from then on, so that both are evaluated alike.
    """
    name = config.distillation.teacher
    if name is None:
        return None
    own = ModelConfig(
        name=name,
        revision=config.distillation.revision,
        trust_remote_code=config.model.trust_remote_code,
        attn_implementation=config.model.attn_implementation,
    )
    try:
        with objective_of_verb():
            teacher = load_model(own, student.objective)
    except ConfigError as error:
        raise ConfigError([f"--teacher: {problem}" for problem in error.problems]) from error
    except (ModelError, HubError) as error:
        raise ModelError(f"--teacher: {error}") from error
    problem = vocabulary_problem(student.tokenizer, teacher.tokenizer, student.objective)
    if problem is not None:
        raise ModelError(
            f"--teacher {name} has another vocabulary than its student {student.name}: {problem}. "
            "A student reads the tokens of its teacher: give a --model of that vocabulary, or for "
            f"a new one --student-layers, or --model scratch:TYPE with --tokenizer {name}."
        )
    teacher.model.requires_grad_(False)
    return replace(teacher, tokenizer=student.tokenizer)


def common_block_size(asked: int | None, student: LoadedModel, teacher: LoadedModel | None) -> int:
    """Return a block size that fits into the positions of both models."""
    models = [student] if teacher is None else [student, teacher]
    return min(fitting_block_size(asked, model) for model in models)


def teacher_checksums(teacher: LoadedModel | None) -> dict[str, Any]:
    """Return the checksums of a teacher for a run's record."""
    if teacher is None:
        return {}
    checksums = origin_checksums(teacher)
    return {f"teacher/{name}": one for name, one in checksums.items() if name != TOKENIZER}


def set_up_teacher(
    config: TrainConfig, loaded: LoadedModel | None, device: torch.device, observer: Observer
) -> tuple[TrainConfig, Teacher | None]:
    """Return a teacher on its device, and the settings with a packing that it keeps apart."""
    if loaded is None:
        return config, None
    loaded.model.to(device)
    with router_off(configs_of(loaded.model)):
        config, isolation = choose_isolation(config, loaded)
    settings = pinned_settings(config.distillation, loaded)
    weight, temperature = settings.weight or 0.0, settings.temperature or DEFAULT_TEMPERATURE
    for note in loaded.notes:
        observer.on_note(note)
    observer.on_note(
        f"teacher {loaded.name}: {loaded.num_parameters:,} parameters; its predictions have "
        f"{weight:.0%} of the loss, at temperature {temperature:g}"
    )
    return config, Teacher(loaded, StepModule(loaded.model, isolation), weight, temperature)


def pinned_settings(settings: DistillationConfig, teacher: LoadedModel) -> DistillationConfig:
    """Return the settings with the teacher's commit and with every default as it holds."""
    weight, temperature = settings.weight, settings.temperature
    return replace(
        settings,
        revision=teacher.revision or settings.revision,
        weight=DEFAULT_WEIGHT if weight is None else weight,
        temperature=DEFAULT_TEMPERATURE if temperature is None else temperature,
    )


def measured_teacher(teacher: Teacher) -> Mapping[str, Any]:
    """Return the findings at a teacher's load."""
    return {
        "parameters": teacher.loaded.num_parameters,
        "isolation": teacher.module.isolation.kind,
        "gathers_targets": teacher.module.gathers,
        "revision": teacher.loaded.revision,
        "changed_settings": list(teacher.loaded.changes),
    }
