"""Values of other programs' settings, each by our name for it, and those that turn one off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextfill.config.foreign.foreign_adapters import ADAPTER_OFF, ADAPTER_VALUES, OF_OUR_ADAPTERS

_OFF = "That is off unless it is asked for: leave it out."
_FLOAT32 = "`precision=fp32` if all is to be float32; else leave it out."
_EAGER = "`attn_implementation=eager` if there is to be none; else leave it out."
_BY_MODEL = "The objective is the model's own, causal for a causal one: leave it out."
_FULL_ONLY = "All parameters are trained unless `lora_rank` is given: leave it out."

COMPLETIONS_ALONE = (
    "The loss is over completions alone where records have a prompt and a completion, or with "
    "`context_field=prompt`: leave it out."
)
PROMPTS_TOO = (
    "Of a prompt and a completion the completion alone is learnt. To learn the prompt too, write "
    'each record as one text, {"text": prompt + completion}, and give `text_field=text`.'
)

OFF: Mapping[str, str] = {
    **dict.fromkeys(("bf16", "fp16", "mixed_precision"), _FLOAT32),
    **dict.fromkeys(("flash_attention", "use_flash_attention_2", "sdp_attention"), _EAGER),
    **dict.fromkeys(("adafactor", "torch_compile"), _OFF),
    **dict.fromkeys(("gradient_checkpointing", "activation_checkpointing", "compile"), _OFF),
    **dict.fromkeys(("eager_attention", "use_cpu", "no_cuda", "disable_tqdm"), _OFF),
    **dict.fromkeys(("debug", "verbose", "load_best_model_at_end", "push_to_hub"), _OFF),
    **dict.fromkeys(("auto_find_batch_size", "overwrite_output_dir", "pad_to_max_length"), _OFF),
    **dict.fromkeys(("line_by_line", "overwrite_cache", "wwm", "whole_word_mask"), _OFF),
    **dict.fromkeys(("do_predict", "resume_from_checkpoint", "group_by_length"), _OFF),
    **ADAPTER_OFF,
    **dict.fromkeys(("use_peft", "use_lora"), _FULL_ONLY),
    "mlm": _BY_MODEL,
    "completion_only_loss": PROMPTS_TOO,
    **dict.fromkeys(("train_on_inputs", "train_on_prompt"), COMPLETIONS_ALONE),
    "do_sample": "`greedy=True`, for the likeliest token.",
    "sample_packing": "`packing=pad`",
    "keep_linebreaks": "`txt=line`",
}
"""Settings that are on or off elsewhere, with the answer to a value that turns one off."""

_SCHEDULE_VALUES = {
    **{name: name for name in ("linear", "cosine", "constant", "inverse_sqrt")},
    "constant_with_warmup": "constant",
    "warmup_stable_decay": "wsd",
}

VALUES: Mapping[str, Mapping[str, str]] = {
    **ADAPTER_VALUES,
    "lr_scheduler_type": _SCHEDULE_VALUES,
    "lr_scheduler": _SCHEDULE_VALUES,
    "optim": {
        **dict.fromkeys(("adamw_torch", "adamw_hf", "adamw"), "adamw-unfused"),
        "adamw_torch_fused": "adamw",
        "sgd": "sgd",
        "adafactor": "adafactor",
    },
    "log_level_replica": {
        **{name: name for name in ("error", "warning", "info", "debug")},
        "critical": "error",
    },
    "framework": {
        **dict.fromkeys(("tf", "tensorflow", "keras", "jax", "flax"), "keras"),
        **dict.fromkeys(("pt", "pytorch", "torch"), "torch"),
    },
}
"""Values with other names here, by setting; one that is not listed is not ours."""

_KERAS = "--backend keras and --keras-backend {}"

OF_OURS: Mapping[str, Mapping[str, str]] = {
    **OF_OUR_ADAPTERS,
    "schedule": VALUES["lr_scheduler"],
    "optimizer": VALUES["optim"],
    "log_level": {"critical": "error", "warn": "warning"},
    "precision": {
        **dict.fromkeys(("fp16", "float16", "half", "16", "16-mixed", "mixed"), "bf16"),
        **dict.fromkeys(("bfloat16", "bf16-mixed", "bf16-true"), "bf16"),
        **dict.fromkeys(("float32", "float", "32", "32-true", "no"), "fp32"),
    },
    "objective": {
        **dict.fromkeys(("mlm", "masked_lm", "masked-lm", "fill-mask"), "masked"),
        **dict.fromkeys(("clm", "lm", "causal_lm", "causal-lm", "text-generation"), "causal"),
    },
    "backend": {
        **dict.fromkeys(("tensorflow", "tf"), _KERAS.format("tensorflow")),
        "jax": _KERAS.format("jax"),
        **dict.fromkeys(("pytorch", "pt"), "torch"),
    },
    "keras_backend": {"tf": "tensorflow", **dict.fromkeys(("pytorch", "pt"), "torch")},
    "device": {**dict.fromkeys(("gpu", "cuda:0", "0"), "cuda"), "-1": "cpu", "metal": "mps"},
    "packing": {"true": "best-fit", "bfd": "best-fit", "wrapped": "concat", "false": "pad"},
    "masking": {**dict.fromkeys(("wwm", "whole_word", "whole-word"), "word"), "subword": "token"},
    "attn_implementation": dict.fromkeys(("flash_attention_2", "flash_attention_3"), "sdpa"),
}
"""Values of our own settings as other programs name them."""

_LEAST_PERCENT, _MOST_PERCENT = 2.0, 100.0


def value_hint(keyword: str, value: object, *, is_share: bool) -> str:
    """Return what to give in place of a value that a setting of ours does not take, or "".

    Args:
        keyword: The setting.
        value: The value.
        is_share: Whether it takes no more than 1.

    Example:
        >>> value_hint("optimizer", "adamw_torch", is_share=False)
        ' Give adamw-unfused.'
        >>> value_hint("warmup_steps", "5%", is_share=False)
        ' Give 0.05.'
        >>> value_hint("backend", "jax", is_share=False)
        ' Give --backend keras and --keras-backend jax.'
    """
    text = str(getattr(value, "value", value)).strip().lower().removeprefix("torch.")
    if ours := OF_OURS.get(keyword, {}).get(text):
        return f" Give {ours}." if ours != text else ""
    number, percent, rest = text.partition("%")
    try:
        share = float(number)
    except ValueError:
        return ""
    # Without a sign 1.5 is a share that is too large; where 1 is a number, no number is a share.
    of_hundred = bool(percent) and 0 <= share < _MOST_PERCENT
    of_hundred = of_hundred or (is_share and _LEAST_PERCENT <= share <= _MOST_PERCENT)
    return f" Give {share / _MOST_PERCENT:g}." if of_hundred and not rest else ""


def our_value(name: str, value: Any) -> Any:
    """Return our name for a setting's value, None where there is none.

    Example:
        >>> our_value("lr_scheduler_type", "constant_with_warmup"), our_value("epochs", 3)
        ('constant', 3)
        >>> our_value("train_size", 0.8), our_value("validation_split_percentage", "10")
        (0.2, 0.1)
        >>> our_value("peft_config", {"r": 8})
        8
    """
    if plain_name(name) == "train_size":
        return _rest(value)
    if plain_name(name) == "validation_split_percentage":
        return _of_percent(value)
    if plain_name(name) == "peft_config":
        rank = value.get("r") if isinstance(value, Mapping) else getattr(value, "r", None)
        return 16 if rank is None else rank
    names = VALUES.get(plain_name(name))
    return value if names is None else names.get(str(getattr(value, "value", value)).lower())


def _rest(share: object) -> float | None:
    """Return what a share leaves of the whole, None for what is none."""
    try:
        rest = 1 - float(str(share))
    except ValueError:
        return None
    return round(rest, 6) if 0 < rest < 1 else None


def _of_percent(value: object) -> float | None:
    """Return the share that a percentage is, None for what is none."""
    try:
        share = float(str(value)) / _MOST_PERCENT
    except ValueError:
        return None
    return round(share, 6) if 0 < share < 1 else None


def plain_name(name: str) -> str:
    """Return a setting's name with its words joined by underscores.

    Example:
        >>> plain_name("--Num-Train-Epochs")
        'num_train_epochs'
    """
    return name.strip("-").replace("-", "_").lower()


def is_off(value: object) -> bool:
    """Tell a value that turns a setting off, as a program or a shell writes it.

    Example:
        >>> is_off(False), is_off("no"), is_off("0"), is_off(None), is_off("bf16")
        (True, True, True, False, False)
    """
    return str(value).lower() in ("false", "no", "off", "0") and value is not None
