"""The settings of adapters by their names in PEFT, TRL, Axolotl and LLaMA-Factory, each with ours.

Sources: `peft.LoraConfig`, TRL's `ModelConfig`, Axolotl's configuration, LLaMA-Factory's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

_OFF = "That is off unless it is asked for: leave it out."
_RANK = "`lora_rank=16`"
_INIT = "`lora_init={}`, one of zero, pissa, olora, eva."
_LAYERS = (
    "An adapter holds no whole layers but norms, by `lora_norms`: leave it out, or `train_only` "
    "without a rank."
)
_ONE_RANK = "An adapter has one rank and one alpha on all of its layers: leave it out."
_FOUND = "Layers with their weights the other way round are found: leave it out."
_QUANTIZED = "Weights are loaded as float32, or held in 4 bits by `lora_quantization=nf4`."
_NF4 = "`lora_quantization=nf4`, with `lora_rank`."
_DOUBLE = "NF4 has its scales quantized here: leave it out."
_ALL = "Every linear layer but the head is the default: leave it out."

_NO_BIASES = "An adapter has no biases: leave it out, or `train_only=biases` without a rank."
_ITSELF = "That is seen to by itself: leave it out."
_KINDS = "Adapters are plain ones, or with `lora_dora` or `lora_init`: leave it out."

ADAPTER_ANSWERS: Mapping[str, str] = {
    "peft_config": "`lora_rank={}`, and `lora_alpha`, `lora_dropout`, `lora_targets`.",
    **dict.fromkeys(("use_peft", "use_lora", "adapter", "finetuning_type"), _RANK),
    **dict.fromkeys(("lora_r", "r"), "`lora_rank={}`"),
    **dict.fromkeys(("lora_target_modules", "target_modules", "lora_target"), "`lora_targets={}`"),
    "target_parameters": "`lora_targets={}`",
    "lora_target_linear": _ALL,
    "merge_lora": "`lora_merge`",
    **dict.fromkeys(
        ("use_rslora", "peft_use_rslora"), "`lora_scaling=rank-stabilised`, with its alpha."
    ),
    **dict.fromkeys(("use_dora", "peft_use_dora"), "`lora_dora={}`"),
    **dict.fromkeys(("init_lora_weights", "peft_init_lora_weights"), _INIT),
    "pissa_init": "`lora_init=pissa`",
    "pissa_convert": "A saved adapter is a plain one, for the model as it was: leave it out.",
    **dict.fromkeys(("modules_to_save", "lora_modules_to_save", "additional_target"), _LAYERS),
    **dict.fromkeys(("rank_pattern", "alpha_pattern", "layers_to_transform"), _ONE_RANK),
    **dict.fromkeys(("fan_in_fan_out", "lora_fan_in_fan_out"), _FOUND),
    **dict.fromkeys(
        ("loraplus_lr_ratio", "loraplus_lr_embedding"),
        "Both matrices of an adapter have one learning rate: leave it out.",
    ),
    **dict.fromkeys(("lora_bias", "bias"), _NO_BIASES),
    "exclude_modules": "`lora_targets` names the layers that get an adapter, and no others.",
    "layers_pattern": _ONE_RANK,
    "base_model_name_or_path": "`model={}`",
    **dict.fromkeys(("inference_mode", "lora_on_cpu", "ensure_weight_tying"), _ITSELF),
    **dict.fromkeys(("peft_type", "auto_mapping", "peft_version", "runtime_config"), _ITSELF),
    "eva_config": "`lora_init=eva`, which has no settings of its own.",
    **dict.fromkeys(("loftq_config", "corda_config", "lora_ga_config"), _INIT),
    **dict.fromkeys(("velora_config", "monteclora_config", "kasa_config"), _KINDS),
    **dict.fromkeys(("arrow_config", "alora_invocation_tokens", "use_qalora"), _KINDS),
    **dict.fromkeys(("layer_replication", "megatron_config", "megatron_core"), _KINDS),
    **dict.fromkeys(("qalora_group_size", "use_bdlora"), _KINDS),
    "trainable_token_indices": "`add_tokens=WORD`, for words that get tokens of their own.",
    **dict.fromkeys(
        ("model_adapter_name", "ref_adapter_name"),
        "A model has one adapter, which has no name: leave it out.",
    ),
    **dict.fromkeys(
        ("task_type", "lora_task_type"), "The objective is the model's own: leave it out."
    ),
    **dict.fromkeys(("lora_model_dir", "adapter_name_or_path"), "`model={}`, an adapter's folder."),
    **dict.fromkeys(("load_in_4bit", "bnb_4bit_quant_type", "quantization_config"), _NF4),
    **dict.fromkeys(("use_bnb_nested_quant", "bnb_4bit_use_double_quant"), _DOUBLE),
    **dict.fromkeys(("load_in_8bit", "quantization_bit", "gptq"), _QUANTIZED),
}
"""What to type instead, as `foreign_settings.ANSWERS` has it."""

ADAPTER_OFF: Mapping[str, str] = dict.fromkeys(
    (
        *("merge_lora", "use_rslora", "peft_use_rslora", "use_dora", "peft_use_dora"),
        *("pissa_init", "lora_target_linear", "lora_bias", "bias"),
    ),
    _OFF,
)

_INITS = {"true": "zero", "pissa": "pissa", "olora": "olora", "eva": "eva"}

ADAPTER_VALUES: Mapping[str, Mapping[str, str]] = {
    "init_lora_weights": _INITS,
    "peft_init_lora_weights": _INITS,
}

OF_OUR_ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "lora_scaling": {
        **dict.fromkeys(("rslora", "rank-stabilized", "stabilised"), "rank-stabilised"),
        **dict.fromkeys(("rank_stabilised", "rank_stabilized", "sqrt"), "rank-stabilised"),
        **dict.fromkeys(("lora", "default", "rank"), "plain"),
    },
    "lora_init": {**_INITS, **dict.fromkeys(("default", "zeros", "kaiming", "lora"), "zero")},
}
"""Values of our own settings as other programs name them."""
