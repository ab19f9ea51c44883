"""Settings of other programs whose answer goes by their value, or by another one beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nextfill.config.foreign.foreign_values import plain_name

Write = Callable[[str, str | None], str]

_ALL_LAYERS = "Every linear layer but the head is the default: leave it out."
_EACH_EPOCH = "That is the default: leave it out."
_STEPS = "`{}=STEPS`, a number of steps and no share; without it, each epoch."
_NO_EVALUATION = (
    "A run is evaluated before its first step, after its last and each epoch. Those of epochs can "
    "be left out: `eval_every=1000000`, more than it has steps."
)
_NO_CHECKPOINT = (
    "A run saves one each epoch and at its end, to be gone on with. The end's alone is saved with "
    "`save_every=1000000`, more than it has steps."
)
_ALWAYS_SOME = "Something is always held out: `test_size=0.01` for 1 percent."
_EVALUATIONS = {
    **dict.fromkeys(("no", "false"), _NO_EVALUATION),
    "epoch": _EACH_EPOCH,
    "steps": "`eval_every=STEPS`",
}
_TARGETS = ("lora_target_modules", "target_modules", "lora_target", "lora_modules")

BY_VALUE: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(_TARGETS, dict.fromkeys(("all-linear", "all", "all_linear"), _ALL_LAYERS)),
    "eval_strategy": _EVALUATIONS,
    "evaluation_strategy": _EVALUATIONS,
    "save_strategy": {
        **dict.fromkeys(("no", "false"), _NO_CHECKPOINT),
        "epoch": _EACH_EPOCH,
        "steps": "`save_every=STEPS`",
        "best": "`keep=best`",
    },
    "validation_split_percentage": dict.fromkeys(("0", "0.0"), _ALWAYS_SOME),
    "val_set_size": dict.fromkeys(("0", "0.0"), _ALWAYS_SOME),
    "validation_split": dict.fromkeys(("0", "0.0"), _ALWAYS_SOME),
}
"""Answers by setting and value, as `foreign_settings.ANSWERS` has them."""

_COUNTED = {
    "eval_steps": "eval_every",
    "save_steps": "save_every",
    "checkpointing_steps": "save_every",
}
"""Settings that are a share of all steps below 1, where ours is a number of steps."""

_OF_A_DEVICE = ("per_device_train_batch_size", "per_gpu_train_batch_size", "micro_batch_size")
_ACCUMULATION = "gradient_accumulation_steps"
_DATA_SETS = ("dataset_name", "dataset_path")
_CONFIGURATIONS = ("dataset_config_name", "dataset_config")
_FOLDERS = ("output_dir", "output_path", "out")


def answer_by_value(name: str, value: object) -> str:
    """Return the answer to a setting of this value alone, by its plain name, or nothing.

    Example:
        >>> answer_by_value("target_modules", "all-linear")
        'Every linear layer but the head is the default: leave it out.'
        >>> answer_by_value("save_steps", "0.1")
        '`save_every=STEPS`, a number of steps and no share; without it, each epoch.'
        >>> answer_by_value("save_steps", 500)
        ''
    """
    one = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    text = str(getattr(one, "value", one)).lower()
    if name in _COUNTED:
        return _STEPS.replace("{}", _COUNTED[name]) if _is_share(text) else ""
    return BY_VALUE.get(name, {}).get(text, "")


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def answer_together(
    name: str,
    keywords: Sequence[str],
    write: Write,
    beside: Mapping[str, object],
    *,
    in_shell: bool,
) -> str:
    """Return the answer to a setting that says one thing together with another, or nothing.

    Args:
        name: The setting there, however its words are joined.
        keywords: Our settings where it was typed.
        write: Writes one of ours as it is typed there.
        beside: The settings typed with it, and their values.
        in_shell: Whether they are flags.
    """
    typed = {plain_name(key): key for key in beside}
    plain = plain_name(name)

    def found(names: Sequence[str]) -> str | None:
        return next((typed[one] for one in names if one in typed), None)

    def with_(other: str, ours: Sequence[str]) -> str:
        given = f"{other}{' ' if in_shell else '='}{beside[other]}"
        return f" With {given} that is {(' ' if in_shell else ', ').join(ours)} here."

    if plain == "run_name" and found(_FOLDERS) and "out" in keywords:
        return f" A run is called by its folder ({write('out', None)}): leave it out."
    device, number = found(_OF_A_DEVICE), typed.get(_ACCUMULATION)
    if device and number and plain in (*_OF_A_DEVICE, _ACCUMULATION):
        few, times = (str(beside[one]) for one in (device, number))
        if few.isdecimal() and times.isdecimal() and "micro_batch_size" in keywords:
            ours = [write("batch_size", str(int(few) * int(times))), write("micro_batch_size", few)]
            return with_(number if plain != _ACCUMULATION else device, ours)
    data, part = found(_DATA_SETS), found(_CONFIGURATIONS)
    if data and part and plain in (*_DATA_SETS, *_CONFIGURATIONS) and "data" in keywords:
        names = [beside[data], beside[part]]
        if all(isinstance(one, str) for one in names):
            ours = [write("data", ":".join(map(str, names)))]
            return with_(part if plain in _DATA_SETS else data, ours)
    return ""
