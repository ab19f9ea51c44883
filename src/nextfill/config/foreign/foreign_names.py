"""Names of transformers, datasets and huggingface_hub looked for in our modules, each with ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nextfill.core.errors import nearest

_TRAIN = "nextfill.train(data=..., model=..., epochs=...) trains"
_SETTINGS = "each setting is one of its own in nextfill.train(epochs=..., learning_rate=...)"
_DATA = "data='NAME' in each call reads files and data sets of the Hub; look(data=...) shows them"
_PREPARED = "nextfill.prepare and train make tokens and blocks of data=... by themselves"
_COLLATED = "train pads and masks by itself; for Trainer there is nextfill.Collator(model)"
_PIPELINE = "nextfill.generate(model, prompt) continues a text, and fill(model, text) fills blanks"
_SHARED = "nextfill.share('RUN', 'USER/NAME') uploads, or train(..., share='USER/NAME')"
_MODELS = "models go by name, model='NAME' in each call, or are handed over with their tokenizer"
_TOKENIZERS = "tokenizers go by name, tokenizer='NAME' in each call, or are handed over"
_PERPLEXITY = "nextfill.evaluate(model, data=...) returns the perplexity"
_KERAS_TRAIN = "model.fit(nextfill.keras.dataset(blocks)) trains, as does train(backend='keras')"
_KERAS_MODEL = "nextfill.keras.from_transformers(name) returns a Keras model"
_KERAS_DATA = "nextfill.keras.dataset(blocks) makes batches of nextfill.packed_dataset(...)"
_KERAS_ADAMW = (
    "optimizer = nextfill.keras.adamw(model, num_steps) makes the optimizer alone, which holds its "
    "schedule: optimizer.learning_rate is the rate of the next step"
)
_KERAS_PUSH = "nextfill.keras.Callback evaluates, saves and shares after each epoch"
_KERAS_LOSS = "compile(loss=nextfill.keras.loss()) is the loss of transformers"

OURS: Mapping[str, str] = {
    **dict.fromkeys(("Trainer", "SFTTrainer", "Seq2SeqTrainer", "finetune", "fit"), _TRAIN),
    **dict.fromkeys(("TrainingArguments", "SFTConfig", "set_seed"), _SETTINGS),
    **dict.fromkeys(("load_dataset", "Dataset", "DatasetDict", "load_from_disk"), _DATA),
    **dict.fromkeys(("tokenize", "group_texts", "preprocess", "preprocess_function"), _PREPARED),
    **dict.fromkeys(("DataCollatorForLanguageModeling", "DataCollator"), _COLLATED),
    **dict.fromkeys(("DataCollatorForWholeWordMask", "default_data_collator"), _COLLATED),
    "DataCollatorWithPadding": _COLLATED,
    **dict.fromkeys(("pipeline", "TextGenerationPipeline", "FillMaskPipeline"), _PIPELINE),
    **dict.fromkeys(("push_to_hub", "upload", "upload_folder", "HfApi", "create_repo"), _SHARED),
    **dict.fromkeys(("notebook_login", "interpreter_login"), "nextfill.login() logs in to the Hub"),
    **dict.fromkeys(("AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModel"), _MODELS),
    **dict.fromkeys(("from_pretrained", "load_model", "get_peft_model", "PeftModel"), _MODELS),
    **dict.fromkeys(("AutoTokenizer", "PreTrainedTokenizerFast", "load_tokenizer"), _TOKENIZERS),
    "LoraConfig": "nextfill.train(lora_rank=16) trains an adapter",
    "AutoConfig": "nextfill.train(model='scratch:TYPE') begins with random weights",
    **dict.fromkeys(("perplexity", "compute_metrics"), _PERPLEXITY),
    "predict": _PIPELINE,
    **dict.fromkeys(("TrainerCallback", "EarlyStoppingCallback"), "train(observer=...) is told"),
    "GenerationConfig": "each setting is one of its own in nextfill.generate(model, top_k=...)",
}
"""Names looked for in ``nextfill``."""

OF_KERAS: Mapping[str, str] = {
    **dict.fromkeys(("create_optimizer", "AdamWeightDecay", "AdamW", "WarmUp"), _KERAS_ADAMW),
    **dict.fromkeys(("PushToHubCallback", "KerasMetricCallback"), _KERAS_PUSH),
    **dict.fromkeys(
        ("TFAutoModelForCausalLM", "TFAutoModelForMaskedLM", "TFAutoModel"), _KERAS_MODEL
    ),
    **dict.fromkeys(("TFPreTrainedModel", "from_pretrained", "load_model"), _KERAS_MODEL),
    **dict.fromkeys(("prepare_tf_dataset", "to_tf_dataset", "Dataset"), _KERAS_DATA),
    **dict.fromkeys(("DataCollatorForLanguageModeling", "DefaultDataCollator"), _KERAS_DATA),
    **dict.fromkeys(("Trainer", "TrainingArguments", "train", "fit"), _KERAS_TRAIN),
    **dict.fromkeys(("hf_compute_loss", "dummy_loss"), _KERAS_LOSS),
    **dict.fromkeys(("save_pretrained", "push_to_hub"), "nextfill.keras.to_transformers saves"),
}
"""Names looked for in ``nextfill.keras``."""

_KERAS_SAVE = "nextfill.keras.to_transformers(model, 'FOLDER') saves it for transformers"
_KERAS_SHARE = f"{_KERAS_SAVE}, and nextfill.share('FOLDER', 'USER/NAME') uploads that"
_KERAS_BATCHES = (
    "model.fit(nextfill.keras.dataset(blocks)) takes the blocks of nextfill.packed_dataset(...)"
)

OF_A_KERAS_MODEL: Mapping[str, str] = {
    "generate": "nextfill.generate(model, 'a text') continues a text, and fill(model, text) fills",
    "save_pretrained": _KERAS_SAVE,
    **dict.fromkeys(("push_to_hub", "create_model_card"), _KERAS_SHARE),
    **dict.fromkeys(("prepare_tf_dataset", "to_tf_dataset"), _KERAS_BATCHES),
    "from_pretrained": _KERAS_MODEL,
    **dict.fromkeys(("hf_compute_loss", "dummy_loss"), _KERAS_LOSS),
    "resize_token_embeddings": "nextfill.train(add_tokens=[...], backend='keras') adds tokens",
    "num_parameters": "model.count_params() counts",
}
"""Names looked for in a Keras model of ours."""


def missing_name(
    module: str, name: str, ours: Sequence[str], other: str, theirs: Sequence[str]
) -> str:
    """Return the message about a name that a module of ours does not have.

    Args:
        module: The module.
        name: The name.
        ours: The names that it has.
        other: The other module, where the name may be.
        theirs: The names of that.

    Example:
        >>> missing_name("nextfill", "Trainer", [], "nextfill.keras", [])
        'nextfill has no Trainer: nextfill.train(data=..., model=..., epochs=...) trains.'
        >>> missing_name("nextfill", "trian", ["train"], "nextfill.keras", [])
        "nextfill has no trian. Did you mean 'train'?"
        >>> missing_name("nextfill", "adamw", ["train"], "nextfill.keras", ["adamw"])
        'nextfill has no adamw: it is nextfill.keras.adamw.'
    """
    tables = (OF_KERAS, OURS) if module.endswith(".keras") else (OURS, OF_KERAS)
    said = next((table[name] for table in tables if name in table), "")
    if name in theirs:
        said = f"it is {other}.{name}"
    return f"{module} has no {name}{said and ': '}{said}.{'' if said else nearest(name, ours)}"
