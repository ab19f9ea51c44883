"""Keywords of transformers' classes at our calls in their place, each answered with ours.

Our calls of fixed arguments are meant: those of the Keras half, and `Collator`.

Sources: `DataCollatorForLanguageModeling`, `create_optimizer`, `AdamWeightDecay`,
`PushToHubCallback`, `KerasMetricCallback`, `TFPreTrainedModel.prepare_tf_dataset`,
`from_pretrained` and `save_pretrained` of transformers, `to_tf_dataset` of datasets.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from nextfill.config.foreign.other_names import as_keyword
from nextfill.core.errors import ConfigError, nearest

P = ParamSpec("P")
T = TypeVar("T")

_FIXED = "AdamW's beta1, beta2 and epsilon are 0.9, 0.999 and 1e-8 here: leave it out."
_DECAYED = "All weights are decayed but biases and norms: leave it out."
_ENDS_AT_ZERO = "The rate falls to 0: leave it out, or give schedule='constant'."
_LINEAR = "The schedule 'linear' falls evenly, by a power of 1: leave it out."
_EACH_EPOCH = "It saves, and shares, at the end of each epoch: leave it out."
_LOGIN = "Log in once, nextfill.login(), or set HF_TOKEN: leave it out."
_BLOCKS = "Blocks hold ids, labels and weights already: leave it out."
_COLLATED = "Blocks are padded and masked by nextfill.packed_dataset(...): leave it out."
_KEPT = "A last, smaller batch is kept: leave it out."
_READ_AHEAD = "Keras reads ahead by itself: leave it out."
_EVALUATED = "Give evaluation={'data': 'held-out.txt'}, which scores that after each epoch."
_ALL_FORMATS = "Weights are read as PyTorch's, which are all there are: leave it out."
_CACHED = "The Hub's own cache and settings hold, as HF_HOME and HF_HUB_OFFLINE: leave it out."
_BY_POLICY = (
    "A Keras model has float32 weights and computes by Keras' policy: leave it out, and for "
    "bfloat16 set keras.config.set_dtype_policy('mixed_bfloat16') before."
)
_NO_CODE = "No code that comes with a model is run: leave it out."
_AS_SAVED = "The model is as its config.json says: leave it out."
_ONE_FILE = "It writes model.safetensors, which transformers reads: leave it out."
_TO_SHARE = "To upload the folder: nextfill.share(FOLDER, 'USER/NAME')."
_MASKED = "Masks are drawn by nextfill.packed_dataset(mask_rate=...): leave it out."
_TENSORS = "Batches are PyTorch's; for Keras there is nextfill.keras.dataset(blocks)."
_ROWS = "Rows have the length of block_size in nextfill.packed_dataset(...): leave it out."

_OF_ADAMW: Mapping[str, str] = {
    **dict.fromkeys(("init_lr", "lr", "initial_learning_rate"), "`learning_rate={}`"),
    **dict.fromkeys(("num_train_steps", "num_training_steps", "steps"), "`num_steps={}`"),
    "decay_steps": "`num_steps={}`",
    "num_warmup_steps": "`warmup_steps={}`",
    "warmup_ratio": "`warmup_steps={}`, which below 1 is a share of all steps.",
    "weight_decay_rate": "`weight_decay={}`",
    **dict.fromkeys(("adam_beta1", "adam_beta2", "beta_1", "beta_2", "betas"), _FIXED),
    **dict.fromkeys(("adam_epsilon", "epsilon", "eps", "amsgrad"), _FIXED),
    **dict.fromkeys(("adam_global_clipnorm", "global_clipnorm"), "`max_grad_norm={}`"),
    **dict.fromkeys(
        ("adam_clipnorm", "clipnorm", "clipvalue"), "`max_grad_norm={}`, of all gradients together."
    ),
    **dict.fromkeys(("min_lr_ratio", "end_learning_rate"), _ENDS_AT_ZERO),
    **dict.fromkeys(("power", "cycle"), _LINEAR),
    "lr_scheduler_type": "`schedule={}`",
    **dict.fromkeys(("include_in_weight_decay", "exclude_from_weight_decay"), _DECAYED),
    "name": "It needs no name: leave it out.",
    "params": "`model`: the Keras model.",
}
_OF_CALLBACK: Mapping[str, str] = {
    **dict.fromkeys(("output_dir", "dir", "local_dir", "repo_local_path"), "`out={}`"),
    **dict.fromkeys(("hub_model_id", "repo_id", "repo_name", "hub_repo"), "`share={}`"),
    "push_to_hub": "`share=USER/NAME`",
    **dict.fromkeys(("save_strategy", "save_steps", "save_freq", "checkpoint"), _EACH_EPOCH),
    **dict.fromkeys(("hub_token", "token", "use_auth_token"), _LOGIN),
    **dict.fromkeys(("hub_private_repo", "private"), "Make it private with nextfill.share first."),
    **dict.fromkeys(("eval_dataset", "metric_fn", "compute_metrics"), _EVALUATED),
    **dict.fromkeys(("validation_data", "eval_data"), _EVALUATED),
    **dict.fromkeys(
        ("batch_size", "label_cols", "output_cols", "predict_with_generate"), _EVALUATED
    ),
    **dict.fromkeys(("train_dataset", "train_set"), "`dataset={}`"),
    **dict.fromkeys(("processing_class", "processor"), "`tokenizer={}`"),
}
_OF_DATASET: Mapping[str, str] = {
    **dict.fromkeys(("dataset", "data", "lm_dataset", "train_dataset"), "`blocks={}`"),
    **dict.fromkeys(("tokenizer", "collate_fn", "collate_fn_args", "data_collator"), _COLLATED),
    **dict.fromkeys(("columns", "label_cols", "label_names"), _BLOCKS),
    **dict.fromkeys(("drop_remainder", "drop_last"), _KEPT),
    **dict.fromkeys(("prefetch", "num_workers", "num_test_batches"), _READ_AHEAD),
    **dict.fromkeys(("per_device_train_batch_size", "bs"), "`batch_size={}`"),
    "epoch": "`initial_epoch={}`",
}
_OF_LOADING: Mapping[str, str] = {
    **dict.fromkeys(("pretrained_model_name_or_path", "model", "model_name"), "`name={}`"),
    **dict.fromkeys(("from_pt", "from_tf", "from_flax", "use_safetensors"), _ALL_FORMATS),
    **dict.fromkeys(("cache_dir", "local_files_only", "force_download", "proxies"), _CACHED),
    **dict.fromkeys(("token", "use_auth_token"), _LOGIN),
    **dict.fromkeys(("dtype", "torch_dtype"), _BY_POLICY),
    **dict.fromkeys(("trust_remote_code", "code_revision"), _NO_CODE),
    **dict.fromkeys(
        ("config", "num_labels", "output_attentions", "output_hidden_states"), _AS_SAVED
    ),
    **dict.fromkeys(("vocab_size", "ignore_mismatched_sizes", "attn_implementation"), _AS_SAVED),
    "branch": "`revision={}`",
}
_OF_SAVING: Mapping[str, str] = {
    **dict.fromkeys(("save_directory", "out", "output_dir", "path"), "`folder={}`"),
    **dict.fromkeys(("push_to_hub", "repo_id", "hub_model_id", "token"), _TO_SHARE),
    **dict.fromkeys(
        ("saved_model", "max_shard_size", "safe_serialization", "signatures"), _ONE_FILE
    ),
}
_OF_COLLATOR: Mapping[str, str] = {
    **dict.fromkeys(("tokenizer", "processing_class"), "Rows are tokens already: leave it out."),
    "mlm": "The objective is the model's, causal or masked: leave it out.",
    **dict.fromkeys(("mlm_probability", "mask_rate", "whole_word_mask"), _MASKED),
    **dict.fromkeys(("mask_replace_prob", "random_replace_prob", "seed"), _MASKED),
    **dict.fromkeys(("return_tensors", "tf_experimental_compile"), _TENSORS),
    **dict.fromkeys(("padding", "max_length", "label_pad_token_id"), _ROWS),
}
TABLES: Mapping[str, Mapping[str, str]] = {
    "adamw": _OF_ADAMW,
    "Callback": _OF_CALLBACK,
    "dataset": _OF_DATASET,
    "from_transformers": _OF_LOADING,
    "to_transformers": _OF_SAVING,
    "Collator": _OF_COLLATOR,
}
"""Their keywords by our call."""

_WANTED: Mapping[str, str] = {
    "blocks": "blocks of nextfill.packed_dataset(data=..., model=...)",
    "model": "the model that is trained",
    "num_steps": "the steps of the whole training, such as epochs * len(train_set)",
    "out": "a folder, such as 'guide'",
    "name": "a folder, a run, a Hub id or builtin:NAME",
    "folder": "a new folder, such as 'guide'",
}
"""Arguments without a default, and what they take."""


def answers_keywords(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that answers keywords which a call does not have, and missing arguments.

    Args:
        name: The call, as it is typed.
    """

    def decorate(call: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(call)

        @wraps(call)
        def answered(*arguments: P.args, **keywords: P.kwargs) -> T:
            if problems := _problems(name, signature, len(arguments), keywords):
                raise ConfigError(problems)
            return call(*arguments, **keywords)

        return answered

    return decorate


def _problems(
    name: str, signature: inspect.Signature, given: int, keywords: Mapping[str, Any]
) -> list[str]:
    """Return the keywords that there are not, and the arguments that are missing."""
    known = [one for one in signature.parameters.values() if one.name != "self"]
    given -= "self" in signature.parameters
    names = [one.name for one in known]
    table = TABLES[name.rpartition(".")[2]]
    foreign = [one for one in keywords if one not in names]
    problems = [
        f"{name} has no {one}.{_answer(table, one, keywords[one], names)}" for one in foreign
    ]
    meant = {word for one in foreign for word in names if f"`{word}" in table.get(one, "")}
    at_places = [one.name for one in known if one.kind is one.POSITIONAL_OR_KEYWORD]
    if given > len(at_places):
        problems.append(
            f"{name} takes {' and '.join(at_places)} without a name, and {given} are given: name "
            f"the others, such as {names[len(at_places)]}=."
        )
    for one in known:
        is_given = one.name in keywords or one.name in at_places[:given] or one.name in meant
        if one.default is one.empty and not is_given:
            problems.append(f"{name} wants {one.name}: {_WANTED[one.name]}.")
    return problems


def _answer(table: Mapping[str, str], name: str, value: Any, known: list[str]) -> str:
    text = table.get(name.lower())
    if text is None:
        return nearest(name, known) or f" It takes {', '.join(known)}."
    first, *others = text.split("`")
    if first or not others:
        return f" {text.replace('`', '').replace('={}', '=...')}"
    keyword, _, form = others[0].partition("=")
    plain = isinstance(value, str | int | float) and len(repr(value)) < 60
    written = as_keyword(keyword, str(value) if plain else "...") if form == "{}" else ""
    written = written.replace("'...'", "...") or as_keyword(keyword, form or None)
    rest = others[1]
    return f" That is {written}{rest if rest else ' here.'}"
