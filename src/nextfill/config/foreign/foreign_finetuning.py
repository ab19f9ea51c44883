"""The settings of TRL's `SFTConfig`, of Axolotl and of scripts beside them, each with ours.

Sources: TRL's documentation of `SFTConfig` and `SFTTrainer`, Axolotl's configuration reference.
"""

from __future__ import annotations

from collections.abc import Mapping

_PACKED = "Rows are filled with documents kept apart unless `packing=pad`: leave it out."
_NO_CHAT = "Records of messages are not read: write each as a prompt and a completion."
_DRAWN = "Blocks come in an order drawn by `seed`, anew in each epoch: leave it out."
_WHOLE = "Only rows of `block_size` tokens are trained on; a longer document takes several."
_BY_ITSELF = "That is seen to by itself: leave it out."
_WRITTEN = "Write the texts as they are to be read, in `data`, and leave it out."
_FLASH = "`attn_implementation=sdpa`, which takes PyTorch's kernels where they fit."
_EACH_ALONE = "Each held-out document is scored by itself, in windows (`stride`): leave it out."
_SCHEDULED = "`schedule`, which has no settings but `warmup_steps`."
_ITS_OWN = (
    "Each has a setting of its own: `revision`, `trust_remote_code`, `attn_implementation`, "
    "`precision`."
)
_LOSS = "The loss is the cross-entropy that perplexity is made of: leave it out."
_WORDS = "`add_tokens=WORD` adds words; the tokenizer's own marks stay as they are."

FINETUNING_ANSWERS: Mapping[str, str] = {
    "model_init_kwargs": _ITS_OWN,
    **dict.fromkeys(("padding_free", "multipack_real_batches"), _PACKED),
    "pad_to_multiple_of": "Rows have `block_size` tokens, which may be any multiple: leave it out.",
    "pad_to_sequence_len": "Rows have `block_size` tokens unless `packing=pad`: leave it out.",
    **dict.fromkeys(("eval_packing", "eval_sample_packing"), _EACH_ALONE),
    "formatting_func": _WRITTEN,
    **dict.fromkeys(("dataset_kwargs", "dataset_batch_size", "num_of_sequences"), _BY_ITSELF),
    **dict.fromkeys(("chars_per_token", "strict", "use_ipex"), _BY_ITSELF),
    **dict.fromkeys(("resize_token_embeddings_to_32x", "loss_watchdog_threshold"), _BY_ITSELF),
    **dict.fromkeys(("chat_template", "chat_template_path", "chat_template_jinja"), _NO_CHAT),
    **dict.fromkeys(("shuffle_dataset", "shuffle_merged_datasets", "curriculum_sampling"), _DRAWN),
    **dict.fromkeys(("truncation_mode", "excess_length_strategy"), _WHOLE),
    "loss_type": _LOSS,
    "activation_offloading": "`gradient_checkpointing`, which saves the memory of activations.",
    "router_aux_loss_coef": "The coefficient is that of the model's configuration: leave it out.",
    "unfrozen_parameters": "`train_only={}`",
    "swa": "`ema_decay=0.999`, the nearest: a moving average of the weights.",
    "xformers_attention": _FLASH,
    "dataset_prepared_path": "`cache_dir={}`",
    "wandb_name": "A run is called by its folder (`out`): leave it out.",
    "with_tracking": "Every step is in the run's events.jsonl: leave it out.",
    "special_tokens": _WORDS,
    "tokens": _WORDS,
    "cosine_min_lr_ratio": _SCHEDULED,
    "eval_table_size": "Samples come with each evaluation (`sample_prompt`): leave it out.",
    "noisy_embedding_alpha": "No noise is added to embeddings: leave it out.",
    "rl": "Training is on text alone, by its likelihood: leave it out.",
    "max_span_length": "`masking=span`, spans of 1 to 10 words.",
}
"""What to type instead, as `foreign_settings.ANSWERS` has it."""
