"""Private names of libraries: few, each for a reason, and noticed when a new version loses one."""

from __future__ import annotations

import argparse
import ast
import atexit
import importlib.util
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import _http
from keras.optimizers import Optimizer
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto import auto_factory
from transformers.models.rwkv.modeling_rwkv import RwkvModel

import nextfill

SOURCES = Path(nextfill.__file__).parent

# What a library has, where it has it, and why nothing public does.
NEEDED = {
    "_http": (None, "the module of the next"),
    "_GLOBAL_CLIENT_FACTORY": (_http, "there is no getter of a user's own client factory"),
    "_get_model_class": (auto_factory, "the class of a configuration, without making a model"),
    "_model_mapping": (AutoModelForCausalLM, "the classes that an auto class chooses from"),
    "_actions": (argparse.ArgumentParser(), "a parser does not list its flags"),
    "_attn_implementation": (PretrainedConfig(), "the attention that a model came to have"),
    "_version": (torch.empty(0), "the writes to a tensor in place, counted"),
    "_rescale_layers": (RwkvModel, "an RWKV's weights as they were, after they computed"),
    "_get_variable_index": (Optimizer, "the place of a variable that TensorFlow hands over bare"),
    "_run_exitfuncs": (atexit, "the end of a process beside a library's thread, in good order"),
}
if importlib.util.find_spec("ctranslate2") is not None:
    from ctranslate2.converters import transformers as converters
else:
    converters = None
if importlib.util.find_spec("ray") is not None:
    import ray
else:
    ray = None
NEEDED |= {
    "_private": (ray, "the cluster that Ray takes for this machine's, before it is waited for"),
    "_reorder_linear_weight": (torch.ops.mkldnn, "weights laid out for products with few rows"),
    "_linear_pointwise": (torch.ops.mkldnn, "a product with weights that are laid out"),
    "_is_vnni_supported": (torch.cpu, "whether sums of products in 8 bits cannot overflow"),
    "_MODEL_LOADERS": (converters, "the reader of a model in memory, not in a folder"),
}
PUBLIC = {"_asdict", "_exit", "_replace"}  # of named tuples and os, and documented


def names_of_others(tree: ast.AST, ours: set[str]) -> set[str]:
    """Return the private names that a module takes from elsewhere than this package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nextfill"):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.Attribute) and node.attr not in ours:
            found.add(node.attr)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def own_names(tree: ast.AST) -> set[str]:
    """Return what a module defines, in classes and as attributes of `self`, too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            found.add(node.attr)
    return found


def test_no_other_name_is_needed_and_each_in_one_file():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES.rglob("*.py")}
    ours = set().union(*map(own_names, trees.values()))
    places: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for name in names_of_others(tree, ours) - PUBLIC:
            places.setdefault(name, []).append(path.relative_to(SOURCES).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
    assert places.keys() == NEEDED.keys(), places


@pytest.mark.parametrize("name", NEEDED)
def test_the_installed_version_has_it(name):
    owner, why = NEEDED[name]
    assert owner is None or hasattr(owner, name), why


def test_a_new_name_is_found():
    planted = "from a._b import _c\nimport d._e\ndef f(x): return x._g, x._ours"
    assert names_of_others(ast.parse(planted), {"_ours"}) == {"_b", "_c", "_e", "_g"}
