"""An adapter with norms on every type of model: nothing at first, then saved and read as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
)

from nextfill.config import LoraConfig
from nextfill.models.adapters.lora import (
    add_adapter,
    merge_adapter,
    name_base,
    read_adapter,
    save_adapter,
)
from nextfill.models.loaded_model import LoadedModel
from tests.architectures import tiny_model
from tests.numerics.little_training import IDS, distance, logits

pytestmark = [
    pytest.mark.trial,
    pytest.mark.filterwarnings("ignore"),  # of the models themselves, for which others stand
]

NOT_MADE = ("dots3_note", "gemma4_assistant")
"""Whose configurations check themselves against sizes that a tiny model has not."""

WITHOUT_NORMS = ("olmo", "nanochat", "hrm_text")


def moved(loaded: LoadedModel) -> None:
    """Move what is trained by a few large steps, each against the logits that a model has."""
    trained = [p for p in loaded.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(3):
        scores = loaded.model(input_ids=IDS, use_cache=False).logits
        torch.nn.functional.cross_entropy(scores.flatten(0, 1), IDS.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        *(("causal", kind) for kind in CAUSAL if kind not in NOT_MADE),
        *(("masked", kind) for kind in MASKED if kind != "perceiver"),  # whose rows have one length
    ],
)
def test_an_adapter_with_norms_on_every_type(objective, kind, tmp_path: Path) -> None:
    def fresh() -> LoadedModel:
        return LoadedModel(tiny_model(kind, objective), None, f"a {kind}", objective)

    try:
        before = logits(fresh().model)
    except (ValueError, TypeError, RuntimeError, AttributeError, ImportError) as error:
        pytest.skip(f"no text alone: {error}")  # test_architectures has the reasons
    lora = LoraConfig(rank=2, norms=kind not in WITHOUT_NORMS)
    loaded = add_adapter(fresh(), lora, seed=0)
    assert distance(logits(loaded.model), before) < 1e-6
    moved(loaded)
    after = logits(loaded.model)
    assert distance(after, before) > 1e-4
    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = read_adapter(fresh(), tmp_path, "an adapter")
    assert distance(logits(again.model), after) < 1e-6
    assert distance(logits(merge_adapter(again).model), after) < 5e-5
