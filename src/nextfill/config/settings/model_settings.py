"""Settings of models: adapters, evaluation, generation and filling; and live models.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from nextfill.config.bounds import Ge, Gt, Le, Lt
from nextfill.config.options import Section, option
from nextfill.config.settings.data_settings import Format, TxtMode

Attention = Literal["eager", "sdpa"]

Scope = Literal["all", "held-out", "own"]
"""Documents to score: all, those that a run would hold out, or those that a run did hold out."""

PseudoMetric = Literal["original", "within-word"]
"""Tokens hidden beside the one to predict: none (original), or the rest of its word."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelConfig(Section):
    """Which model and tokenizer, and how a new one is shaped."""

    shorthand: ClassVar[str] = "name"

    name: str = option(
        "builtin:base-causal",
        "Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights",
        flag="--model",
    )
    tokenizer: str | None = option(None, "Hub id or folder; default: the model's own")
    revision: str | None = option(None, "branch, tag or commit of the model on the Hub")
    config: dict[str, Any] = option(
        dict, "overrides of a scratch model's config: --set model.config.n_layer=6", flag=""
    )
    trust_remote_code: bool = option(False, "run code that comes with the model (unsafe)")
    attn_implementation: Attention | None = option(
        None,
        "how attention is computed; default: sdpa where the model has it",
    )


@dataclass(frozen=True)
class Live:
    """Model and tokenizer that a Python program hands over; None where a name stands for them.

    Args:
        model: A transformers causal model, or a PEFT one around it; training changes it in place.
        tokenizer: A transformers tokenizer with a Rust back end.
    """

    model: Any = None
    tokenizer: Any = None


NOTHING_LIVE = Live()


@dataclass(frozen=True, kw_only=True, repr=False)
class NamedConfig(Section):
    """Revision and code of a tokenizer whose name comes before the flags."""

    revision: str | None = option(None, "branch, tag or commit on the Hub")
    trust_remote_code: bool = option(False, "run code that comes with it (unsafe)")


@dataclass(frozen=True, kw_only=True, repr=False)
class DistillationConfig(Section):
    """A larger model whose predictions the trained one learns, beside the text."""

    shorthand: ClassVar[str] = "teacher"

    teacher: str | None = option(
        None,
        "also learn the predictions of this larger model of the same vocabulary: Hub id, folder, "
        "run directory or builtin:NAME",
        hint="A teacher is named; one in memory is saved first: save_pretrained(FOLDER)",
    )
    revision: str | None = option(
        None, "branch, tag or commit of the teacher on the Hub", flag="--teacher-revision"
    )
    weight: Annotated[float, Ge(0), Le(1)] | None = option(
        None,
        "share of the teacher in the loss, the text has the rest; default: 0.7",
        flag="--distill-weight",
    )
    temperature: Annotated[float, Gt(0)] | None = option(
        None,
        "flattens both models' predictions before they are compared; default: 2",
        flag="--distill-temperature",
    )
    student_layers: Annotated[int, Ge(1)] | None = option(
        None, "begin with so many layers of the model, evenly taken; default model: the teacher"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class NewTokensConfig(Section):
    """Words that get tokens of their own before a model is trained.

    Args:
        chosen: The words of the file and of the data, as a run records them; they are not looked
            for again.
    """

    shorthand: ClassVar[str] = "words"

    words: list[str] = option(
        list,
        "give this word a token of its own, set from its pieces; may be given several times",
        flag="--add-tokens",
        hint='From Python, and in a recipe, give a list: ["PyTorch", "autograd"]',
    )
    file: str | None = option(
        None, "and each word of this text file, one a line", flag="--add-tokens-file"
    )
    from_data: Annotated[int, Ge(1)] | None = option(
        None,
        "and so many more words of the training data: those that save most tokens",
        flag="--add-tokens-from-data",
    )
    chosen: list[str] | None = option(None, "what file and data gave", flag="")

    @property
    def wanted(self) -> bool:
        """Whether any word is to get a token."""
        return bool(self.words or self.chosen or self.file is not None or self.from_data)


@dataclass(frozen=True, kw_only=True, repr=False)
class ShareConfig(Section):
    """Where a finished run's model is pushed on the Hugging Face Hub; never a token."""

    shorthand: ClassVar[str] = "repo"

    repo: str | None = option(
        None,
        "push the model to this repository of the Hub, USER/NAME, at the end",
        flag="--share",
        hint="Give the repository: --share USER/NAME",
    )
    private: bool = option(False, "make a new repository private", flag="--share-private")
    adapter: bool = option(
        False, "push the adapter alone, not merged into its model", flag="--share-adapter"
    )
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0", flag="--share-license"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationSet(Section):
    """Further text to evaluate on beside the held-out part, such as what may be forgotten."""

    shorthand: ClassVar[str] = "source"

    source: str
    streaming: bool = False
    split: str | None = None
    text_field: str | None = None
    context_field: str | None = None
    join: str | None = None
    explode: bool = False
    format: Format | None = None
    encoding: str | None = None
    txt: TxtMode | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationConfig(Section):
    """How held-out documents are scored, and what else is."""

    named_tables: ClassVar[str] = "sets"

    stride: Annotated[int, Ge(1)] | None = option(
        None,
        "new targets per further window of a long document; default: windows follow one another, "
        "the last reaching back to be full",
    )
    start_token: bool = option(
        True, "begin each document with the start token, so that its first token is scored, too"
    )
    eval_batch_size: Annotated[int, Ge(1)] = option(32, "windows per forward pass")
    by: str | None = option(
        None, "also tell the figures of each group of documents, by this field: category, say"
    )
    drop_leaks: bool = option(
        False, "leave documents out that also stand in the training data, exactly or nearly"
    )
    mask_seed: Annotated[int, Ge(0), Lt(2**63)] = option(
        0, "seeds the masks of evaluations, which are the same for every model and seed"
    )
    sets: dict[str, EvaluationSet] = option(
        dict, "further sets by name: --set evaluation.general=builtin:stdlib-docs", flag=""
    )
