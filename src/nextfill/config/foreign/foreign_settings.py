"""The settings of other programs by their names there, each with ours, or with a reason.

Sources: `transformers.TrainingArguments`, the arguments of transformers' run_clm.py and run_mlm.py,
TRL's `SFTConfig`, Axolotl's configuration, the flags of lm-evaluation-harness, infilling of
Megatron-LM and of StarCoder, and the keywords of `generate` and of pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping

from nextfill.config.foreign.foreign_adapters import ADAPTER_ANSWERS
from nextfill.config.foreign.foreign_finetuning import FINETUNING_ANSWERS
from nextfill.config.foreign.foreign_values import COMPLETIONS_ALONE, PROMPTS_TOO

_OPTIMIZER = "`optimizer={}`, one of adamw, adamw-unfused, sgd, adafactor."
_NUMBERS = "Each has a setting of its own: `beta1`, `beta2`, `epsilon`, `weight_decay`."
_ONE_PROCESS = "A run is one process on one device: leave it out."
_COMPILED = "`compile`, with PyTorch's own back end and mode."
_KERNELS = "Kernels are not replaced: leave it out."
_FLASH = "`attn_implementation=sdpa`, which takes PyTorch's flash kernels where they fit."
_LOGGED = "Every step is logged, in the run's events.jsonl: leave it out."
_EVALUATED = "An evaluation keeps sums per document and no logits: leave it out."
_EVALUATIONS = "Evaluations come after each epoch, or `eval_every=STEPS`."
_CHECKPOINTS = "Checkpoints come after each epoch, or `save_every=STEPS`."
_BATCHES = "Batches are read from a memory-mapped store, without workers: leave it out."
_EXACT = "Equal settings and data give equal bytes, on resume too: leave it out."
_CROSS_ENTROPY = "The loss is the cross-entropy that perplexity is made of: leave it out."
_FIM_TOKENS = "`fim_tokens=PREFIX,SUFFIX,MIDDLE`, all three in one."
_FIM_DOCUMENTS = "Whole documents are cut, before they are packed: leave it out."
_FIM_ENDS = "A middle ends with the tokenizer's own end token: leave it out."
_NO_CHAT = "Records of messages are not read: write each as a prompt and a completion."
_PRECISION = "`precision=bf16`, which needs no loss scaling."
_FLOAT32 = "Evaluations compute in float32: leave it out."
_LOGIN = "Log in once (nextfill login), or set HF_TOKEN: settings are recorded, tokens never."
_TRACKERS = "Curves go to tensorboard, trackio, wandb or mlflow by `track`; report.html has them."
_BEST = "`keep=best`, which goes by the loss on documents set apart from the training."
_SCHEDULES = (
    "`schedule={}`, one of linear, cosine, wsd, constant, inverse_sqrt; `warmup_steps` for the "
    "warm-up."
)
_RECOMPUTED = "`gradient_checkpointing`, which has no settings of its own."
_UPLOADED = "`share`, which uploads once, at the end of the run."
_LENGTHS = "`packing=best-fit`, which fills rows whatever the documents' lengths."
_MICRO = "`micro_batch_size` for those of one forward pass"
_RESUME = "Give `out=RUN` with `resume=True`: it goes on from the newest checkpoint."
_NEW_RUN = "A run directory is never overwritten: name a new one, `out=NEW`."
_FULL_CONTEXT = "Only rows of `block_size` tokens are trained on; a longer document takes several."
_LAST = "Nothing is dropped but by `window_rows`: leave it out."
_SINGLE = "Each setting is one of its own, such as `epochs`, `batch_size` and `learning_rate`."
_COLLATED = "Text becomes tokens and blocks, and masks are drawn, by themselves: leave it out."
_PADDED = "Padding is no target and is not attended to: leave it out."
_COLUMNS = "Only the text is read, and `keep_fields`: leave it out."
_TEXT_ALONE = "Only the text is read: leave it out."
_OVERRIDES = (
    "`model=scratch:TYPE`, and for each field --set model.config.KEY=VALUE, or KEY = VALUE below "
    "[model.config] in a recipe."
)
_STRINGS = "Texts go in and come out as strings, without special tokens: leave it out."
_ALL_FORMATS = "Weights are read as PyTorch's, which are all there are: leave it out."
_IN_PYTORCH = "PyTorch computes: leave it out."
_COLUMN_NAMES = ("remove_unused_columns", "remove_columns", "select_columns", "columns")
_TEXT_FIELDS = (
    *("response_field", "completion_field", "output_field", "answer_field", "target_field"),
    *("response_column", "output_column", "field_output"),
)
_CONTEXT_FIELDS = (
    *("prompt_field", "instruction_field", "input_field", "question_field", "prompt_column"),
    *("instruction_column", "field_instruction"),
)
_TEXT_NAMES = ("inputs", "input_ids", "text", "texts", "prompts")

ANSWERS: Mapping[str, str] = {
    # where it goes, and how long
    "output_dir": "`out={}`",
    "output_path": "`out={}`",
    "overwrite_output_dir": _NEW_RUN,
    "run_name": "`out={}`",
    "num_train_epochs": "`epochs={}`",
    "num_epochs": "`epochs={}`",
    "max_train_steps": "`max_steps={}`",
    "num_train_steps": "`max_steps={}`",
    "resume_from_checkpoint": _RESUME,
    "do_train": "Training is what train does, with an evaluation before and after: leave it out.",
    "do_eval": "Every run is evaluated before and after; later, by the command evaluate.",
    "do_predict": "Texts come from nextfill generate and nextfill fill.",
    **dict.fromkeys(("args", "training_args"), _SINGLE),
    "callbacks": "Every step is in events.jsonl, and goes to an observer=OBJECT of Python.",
    # batches
    "bs": "`batch_size={}`",
    "train_batch_size": "`batch_size={}`",
    "per_device_train_batch_size": f"`batch_size={{}}`, blocks per optimizer step; {_MICRO}.",
    "per_gpu_train_batch_size": f"`batch_size={{}}`, blocks per optimizer step; {_MICRO}.",
    "gradient_accumulation_steps": (
        "`batch_size` over `micro_batch_size`: blocks per step over blocks per forward pass."
    ),
    "auto_find_batch_size": "Make `micro_batch_size` smaller where memory ends.",
    "per_device_eval_batch_size": "`eval_batch_size={}`",
    "per_gpu_eval_batch_size": "`eval_batch_size={}`",
    "average_tokens_across_devices": (
        "A step's loss is divided by all of its targets (`normalize_by`): leave it out."
    ),
    # the optimizer and its schedule
    "lr": "`learning_rate={}`",
    "init_lr": "`learning_rate={}`",
    "lr_scheduler_type": _SCHEDULES,
    "lr_scheduler": _SCHEDULES,
    "lr_scheduler_kwargs": "`schedule`, which has no settings but `warmup_steps`.",
    "warmup_ratio": "`warmup_steps={}`, which below 1 is a share of all steps.",
    "num_warmup_steps": "`warmup_steps={}`",
    "optim": _OPTIMIZER,
    "optim_args": _NUMBERS,
    "optim_target_modules": "One optimizer trains all parameters: leave it out.",
    "adafactor": "`optimizer=adafactor`",
    "adam_beta1": "`beta1={}`",
    "adam_beta2": "`beta2={}`",
    "adam_epsilon": "`epsilon={}`",
    "gradient_clipping": "`max_grad_norm={}`",
    "weight_decay_rate": "`weight_decay={}`",
    "label_smoothing_factor": _CROSS_ENTROPY,
    "neftune_noise_alpha": "No noise is added to embeddings: leave it out.",
    # numbers and memory
    "bf16": _PRECISION,
    "fp16": _PRECISION,
    "mixed_precision": _PRECISION,
    "dtype": _PRECISION,
    "torch_dtype": _PRECISION,
    "bf16_full_eval": _FLOAT32,
    "fp16_full_eval": _FLOAT32,
    "tf32": "PyTorch's own setting of TF32 holds: leave it out.",
    "activation_checkpointing": "`gradient_checkpointing={}`",
    "activation_checkpointing_kwargs": _RECOMPUTED,
    "gradient_checkpointing_kwargs": _RECOMPUTED,
    "torch_compile": "`compile={}`",
    "torch_compile_backend": _COMPILED,
    "torch_compile_mode": _COMPILED,
    "use_liger_kernel": _KERNELS,
    "liger_kernel_config": _KERNELS,
    "flash_attention": _FLASH,
    "use_flash_attention_2": _FLASH,
    "sdp_attention": "`attn_implementation=sdpa`",
    "eager_attention": "`attn_implementation=eager`",
    "use_cache": "Training needs no cache of keys and values: leave it out.",
    "torch_empty_cache_steps": "Memory is left to PyTorch: leave it out.",
    "skip_memory_metrics": _LOGGED,
    "low_cpu_mem_usage": "Weights are read once, straight into the model: leave it out.",
    "use_cpu": "`device=cpu`",
    "no_cuda": "`device=cpu`",
    # logs and progress
    **dict.fromkeys(("report_to", "wandb_project", "project", "use_wandb"), _TRACKERS),
    **dict.fromkeys(
        ("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), _TRACKERS
    ),
    **dict.fromkeys(("logging_dir", "logging_strategy", "logging_steps"), _LOGGED),
    **dict.fromkeys(("logging_first_step", "logging_nan_inf_filter", "log_on_each_node"), _LOGGED),
    "include_num_input_tokens_seen": _LOGGED,
    "log_level_replica": "`log_level={}`",
    "disable_tqdm": "Progress is not shown with `quiet=True`.",
    "debug": "`log_level=debug`",
    "verbose": "`log_level=debug`",
    # evaluations
    "eval_strategy": _EVALUATIONS,
    "evaluation_strategy": _EVALUATIONS,
    "evals_per_epoch": _EVALUATIONS,
    "eval_steps": "`eval_every={}`",
    "eval_delay": _EVALUATIONS,
    "eval_on_start": "A run is always evaluated before its first step: leave it out.",
    **dict.fromkeys(("prediction_loss_only", "eval_do_concat_batches"), _EVALUATED),
    **dict.fromkeys(("eval_use_gather_object", "eval_accumulation_steps"), _EVALUATED),
    **dict.fromkeys(("include_for_metrics", "batch_eval_metrics"), _EVALUATED),
    **dict.fromkeys(("compute_metrics", "preprocess_logits_for_metrics"), _EVALUATED),
    "load_best_model_at_end": "`keep=best`",
    "metric_for_best_model": _BEST,
    "greater_is_better": _BEST,
    "early_stopping_patience": "`early_stopping={}`",
    # checkpoints
    "save_strategy": _CHECKPOINTS,
    "saves_per_epoch": _CHECKPOINTS,
    "save_steps": "`save_every={}`",
    "checkpointing_steps": "`save_every={}`",
    "save_total_limit": "`keep_checkpoints={}`",
    "save_only_model": "A finished run's model lies beside its checkpoints: leave it out.",
    "save_on_each_node": _ONE_PROCESS,
    "save_safetensors": "Weights are always safetensors: leave it out.",
    "enable_jit_checkpoint": "A run that is stopped saves a checkpoint: leave it out.",
    **dict.fromkeys(("ignore_data_skip", "restore_callback_states_from_checkpoint"), _EXACT),
    "full_determinism": _EXACT,
    "data_seed": "`seed={}`, which also seeds the order of the data.",
    # the Hub
    "push_to_hub": "`share=USER/NAME`",
    "push_to_hub_model_id": "`share={}`",
    "hub_model_id": "`share={}`",
    "hub_private_repo": "`share_private={}`",
    **dict.fromkeys(("hub_token", "push_to_hub_token", "token", "use_auth_token"), _LOGIN),
    **dict.fromkeys(("hub_strategy", "hub_always_push", "hub_revision"), _UPLOADED),
    # processes and batches in memory
    **dict.fromkeys(("dataloader_num_workers", "dataloader_pin_memory"), _BATCHES),
    **dict.fromkeys(("dataloader_persistent_workers", "dataloader_prefetch_factor"), _BATCHES),
    **dict.fromkeys(("dataloader_multiprocessing_context", "dataloader_in_order"), _BATCHES),
    "dataloader_drop_last": _LAST,
    **dict.fromkeys(_COLUMN_NAMES, _COLUMNS),
    **dict.fromkeys(("data_collator", "collate_fn", "batched"), _COLLATED),
    **dict.fromkeys(("pad_token", "pad_token_id", "padding", "padding_side"), _PADDED),
    "shuffle": "Blocks come in an order drawn by `seed`, anew in each epoch: leave it out.",
    "label_names": "Labels are the tokens themselves: leave it out.",
    **dict.fromkeys(("group_by_length", "train_sampling_strategy", "length_column_name"), _LENGTHS),
    **dict.fromkeys(("ddp_find_unused_parameters", "ddp_bucket_cap_mb"), _ONE_PROCESS),
    **dict.fromkeys(("ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend"), _ONE_PROCESS),
    **dict.fromkeys(("ddp_timeout", "fsdp", "fsdp_config", "deepspeed"), _ONE_PROCESS),
    **dict.fromkeys(("local_rank", "accelerator_config", "parallelism_config"), _ONE_PROCESS),
    **dict.fromkeys(("tpu_num_cores", "num_processes"), _ONE_PROCESS),
    "framework": "`backend={}`",
    "jit_mode_eval": "Evaluations are not compiled: leave it out.",
    # run_clm and run_mlm: model
    "model_name_or_path": "`model={}`",
    "base_model": "`model={}`",
    "model_type": "`model=scratch:{}`, which begins with random weights.",
    **dict.fromkeys(("config_name", "config_overrides", "model_config"), _OVERRIDES),
    "tokenizer_name": "`tokenizer={}`",
    "tokenizer_name_or_path": "`tokenizer={}`",
    "model_revision": "`revision={}`",
    **dict.fromkeys(("from_pt", "from_tf", "from_flax", "use_safetensors"), _ALL_FORMATS),
    "use_fast_tokenizer": "Tokenizers are always fast ones: leave it out.",
    # run_clm and run_mlm: data
    **dict.fromkeys(_TEXT_NAMES, "`data={}`"),
    "dataset": "`data={}`",
    "datasets": "`data={}`",
    "dataset_name": "`data={}`",
    "dataset_path": "`data={}`",
    "path": "`data={}`",
    "train_dataset": "`data={}`",
    "dataset_config_name": "`data=NAME:{}`",
    "dataset_config": "`data=NAME:{}`",
    "train_file": "`data={}`",
    "validation_file": "`eval_data={}`",
    "validation_data": "`eval_data={}`",
    "data_files": "`data={}`",
    "processing_class": "`tokenizer={}`",
    "eval_dataset": "`eval_data={}`",
    "max_train_samples": "`split=train[:{}]`",
    "max_eval_samples": "`eval_split=test[:{}]`",
    "validation_split_percentage": "`test_size={}`",
    "validation_split": "`test_size={}`",
    "train_size": "`test_size={}`, what is held out and not what is trained on.",
    "val_set_size": "`test_size={}`",
    **dict.fromkeys(_TEXT_FIELDS, "`text_field={}`"),
    **dict.fromkeys(_CONTEXT_FIELDS, "`context_field={}`"),
    "text_column_name": "`text_field={}`",
    "dataset_text_field": "`text_field={}`",
    **dict.fromkeys(("text_column", "column"), "`text_field={}`"),
    "prompt": "`sample_prompt={}`",
    "max_seq_length": "`block_size={}`",
    "max_seq_len": "`block_size={}`",
    "sequence_len": "`block_size={}`",
    "cutoff_len": "`block_size={}`",
    "chunk_size": "`block_size={}`",
    "context_length": "`block_size={}`",
    "pad_to_max_length": "`packing=pad`",
    "sample_packing": "`packing=best-fit`",
    "packing_strategy": "`packing=best-fit`",
    "line_by_line": "`txt=line` with `packing=pad`",
    "keep_linebreaks": "`txt=file`, which keeps a file's line breaks.",
    "preprocessing_num_workers": "Text is tokenized on every core: leave it out.",
    "dataset_num_proc": "Text is tokenized on every core: leave it out.",
    "num_proc": "Text is tokenized on every core: leave it out.",
    "overwrite_cache": "`verify`, which reads the data again; nextfill cache prune removes stores.",
    "mlm": "`objective=masked`",
    "mlm_probability": "`mask_rate={}`",
    "wwm": "`masking=word`",
    "whole_word_mask": "`masking=word`",
    # TRL, Axolotl, PEFT
    **ADAPTER_ANSWERS,
    **FINETUNING_ANSWERS,
    "completion_only_loss": COMPLETIONS_ALONE,
    "assistant_only_loss": _NO_CHAT,
    **dict.fromkeys(("train_on_inputs", "train_on_prompt"), PROMPTS_TOO),
    "eos_token": "`end_of_document`, which puts the tokenizer's own around each document.",
    "truncation": _FULL_CONTEXT,
    # infilling: Megatron-LM, StarCoder
    **dict.fromkeys(("fim_ratio", "fim_probability", "infill_rate"), "`fim_rate={}`"),
    **dict.fromkeys(("fim", "use_fim"), "`fim_rate=0.5`"),
    "spm_rate": "`fim_spm_rate={}`",
    **dict.fromkeys(("fim_prefix_token", "fim_suffix_token", "fim_middle_token"), _FIM_TOKENS),
    **dict.fromkeys(("fim_fragment_rate", "fim_split_sample", "fim_no_prefix"), _FIM_DOCUMENTS),
    **dict.fromkeys(("fim_eod_token", "fim_pad_token"), _FIM_ENDS),
    # lm-evaluation-harness
    **dict.fromkeys(("tasks", "task"), "`data=TEXT`, a file, a folder or a data set of the Hub."),
    "num_fewshot": "Each text is scored as it is, without examples before it: leave it out.",
    "log_samples": "`out=DOCUMENTS.jsonl`, with what each document costs.",
    # generation and filling
    "max_tokens": "`max_new_tokens={}`",
    "max_length": "`max_new_tokens={}`, of new tokens alone: max_length counts the prompt's, too.",
    **dict.fromkeys(("skip_special_tokens", "clean_up_tokenization_spaces"), _STRINGS),
    "return_tensors": "Texts go in as strings, and tensors are made of them: leave it out.",
    "min_length": "`min_new_tokens={}`, of new tokens alone: min_length counts the prompt's, too.",
    "num_return_sequences": "`num_samples={}`",
    "do_sample": "Tokens are sampled unless `greedy` or `num_beams` is given: leave it out.",
    "stop_strings": "`stop={}`",
    "stop_sequences": "`stop={}`",
    "k": "`top_k={}`",
    "topk": "`top_k={}`",
    "num_predictions": "`top_k={}`",
    "target": "`targets={}`",
    "num_masks": "`answer_tokens={}`",
}
"""What to type instead: settings in backquotes by their keyword, ``{}`` for the value given."""

IN_PYTHON: Mapping[str, str] = dict.fromkeys(
    ("config_name", "config_overrides", "model_config"),
    "`model`={'name': 'scratch:TYPE', 'config': {'KEY': VALUE}}",
)
"""Answers where settings are keywords, and a flag cannot be typed."""

SECOND: Mapping[str, str] = {
    "max_length": "`block_size={}`",
    "framework": _IN_PYTORCH,
    **dict.fromkeys(_COLUMN_NAMES, _TEXT_ALONE),
    **dict.fromkeys(_TEXT_NAMES, "Texts follow the model, without a name."),
}
"""Answers to names that mean another thing where the first answer names no setting."""
