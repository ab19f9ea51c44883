"""The part of an adapter's card on its base in 4 bits, and on how to have it so elsewhere."""

from __future__ import annotations

import json

from nextfill.hub.card_metadata import base_of_card, objective_of
from nextfill.rendering.markdown import fenced
from nextfill.runs.quantization_cost import QuantizedBase
from nextfill.runs.reader import RunFacts

_CLASSES = {"causal": "AutoModelForCausalLM", "masked": "AutoModelForMaskedLM"}

_CODE = """\
import torch
from peft import PeftModel
from transformers import {model}, BitsAndBytesConfig

in_4_bits = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="{type}",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.float32,
    llm_int8_skip_modules={left},
)
base = {model}.from_pretrained({base}, dtype=torch.float32, quantization_config=in_4_bits)
model = PeftModel.from_pretrained(base, "{place}")"""


def quantized_usage(facts: RunFacts, place: str) -> list[str]:
    """Return paragraphs on the base in 4 bits below an adapter; none where it was whole.

    Args:
        facts: The run.
        place: What stands for the adapter's name.
    """
    base, name = facts.quantized_base, base_of_card(facts)
    if base is None or name is None:
        return []
    said = (
        "In training its base was held in 4 bits, and the figures below are of that. The adapter "
        "fits the whole base, as above, too; the figures then differ by about what the 4 bits "
        "cost. For the base as it was, with `pip install peft bitsandbytes`:"
    )
    return [said, fenced(_code(base, name, objective_of(facts), place), "python")]


def _code(base: QuantizedBase, name: str, objective: str, place: str) -> str:
    left = json.dumps(list(base.left))
    model = _CLASSES[objective]
    return _CODE.format(model=model, type=base.type, left=left, base=json.dumps(name), place=place)
