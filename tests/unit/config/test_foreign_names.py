"""Names of the guides' libraries, looked for in our modules, are answered with ours."""

from __future__ import annotations

import re

import pytest

import nextfill
from nextfill.config.foreign.foreign_names import OF_A_KERAS_MODEL, OF_KERAS, OURS

GUIDES = [
    "Trainer",
    "TrainingArguments",
    "load_dataset",
    "pipeline",
    "push_to_hub",
    "notebook_login",
]
GUIDES += ["DataCollatorForLanguageModeling", "DataCollatorForWholeWordMask", "AutoTokenizer"]
KERAS_GUIDES = [
    "create_optimizer",
    "AdamWeightDecay",
    "PushToHubCallback",
    "TFAutoModelForCausalLM",
]
KERAS_GUIDES += ["prepare_tf_dataset", "TFAutoModelForMaskedLM", "to_tf_dataset"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((nextfill, one) for one in GUIDES),
        *((nextfill.keras, one) for one in (*KERAS_GUIDES, *GUIDES)),
    ],
)
def test_a_name_of_the_guides_is_answered_with_ours(module, name):
    assert not hasattr(module, name)
    with pytest.raises(AttributeError, match=rf"{module.__name__} has no {name}: "):
        getattr(module, name)


def test_what_is_named_instead_is_there():
    for said in (*OURS.values(), *OF_KERAS.values(), *OF_A_KERAS_MODEL.values()):
        for path in re.findall(r"\bnextfill\.((?:keras\.)?\w+)", said):
            module = nextfill.keras if path.startswith("keras.") else nextfill
            assert path.removeprefix("keras.") in module.__all__, said


def test_a_name_of_ours_is_no_other_programs():
    assert not {*nextfill.__all__} & {*OURS}
    assert not {*nextfill.keras.__all__} & {*OF_KERAS}


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (nextfill, "from_transformers", ": it is nextfill.keras.from_transformers."),
        (nextfill.keras, "packed_dataset", ": it is nextfill.packed_dataset."),
        (nextfill, "evalute", ". Did you mean 'evaluate'?"),
        (nextfill.keras, "no_such", "."),
    ],
)
def test_any_other_name_is_looked_for_among_ours(module, name, said):
    with pytest.raises(AttributeError) as raised:
        getattr(module, name)
    assert str(raised.value) == f"{module.__name__} has no {name}{said}"


def test_from_import_names_ours():
    with pytest.raises(ImportError):
        from nextfill import Trainer  # noqa: F401
