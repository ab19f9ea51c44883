"""Types of the public functions, made by scripts/make_stubs.py from the settings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from nextfill import keras as keras
from nextfill.api.cache import CacheListing as CacheListing
from nextfill.api.cache import Pruning as Pruning
from nextfill.api.look_result import ExampleBlock as ExampleBlock
from nextfill.api.look_result import Look as Look
from nextfill.api.packed_dataset import PackedDataset as PackedDataset
from nextfill.config.recipe_file import Recipe as Recipe
from nextfill.config.settings.data_settings import DataConfig as DataConfig
from nextfill.core.errors import ConfigError as ConfigError
from nextfill.core.errors import DataError as DataError
from nextfill.core.errors import HubError as HubError
from nextfill.core.errors import Interrupted as Interrupted
from nextfill.core.errors import ModelError as ModelError
from nextfill.core.errors import NextfillError as NextfillError
from nextfill.core.errors import NotSharedError as NotSharedError
from nextfill.core.errors import OtherRankError as OtherRankError
from nextfill.core.errors import RunError as RunError
from nextfill.core.errors import UnreachableModelError as UnreachableModelError
from nextfill.core.progress import Observer as Observer
from nextfill.data.first_records import TextField as TextField
from nextfill.data.store.cache_entries import CacheEntry as CacheEntry
from nextfill.evaluation.bootstrap import Interval as Interval
from nextfill.evaluation.comparison import Comparison as Comparison
from nextfill.evaluation.figures import BaseEvaluation as BaseEvaluation
from nextfill.evaluation.figures import Difference as Difference
from nextfill.evaluation.figures import Evaluation as Evaluation
from nextfill.evaluation.figures import PseudoFigures as PseudoFigures
from nextfill.evaluation.token_view import ScoredText as ScoredText
from nextfill.evaluation.token_view import ScoredToken as ScoredToken
from nextfill.exporting.export_result import Export as Export
from nextfill.hub.account import Login as Login
from nextfill.hub.bundle import Bundle as Bundle
from nextfill.hub.upload import Shared as Shared
from nextfill.models.collator import Collator as Collator
from nextfill.runs.new_words import NewWords as NewWords
from nextfill.runs.preparation_result import PrepareResult as PrepareResult
from nextfill.runs.quantization_cost import QuantizedBase as QuantizedBase
from nextfill.runs.results import BeforeAfter as BeforeAfter
from nextfill.runs.results import TeacherEvaluation as TeacherEvaluation
from nextfill.runs.results import TrainResult as TrainResult
from nextfill.runs.stages import Stage as Stage
from nextfill.serving.server import Server as Server
from nextfill.tokenizers.inspection_result import Change as Change
from nextfill.tokenizers.inspection_result import LongToken as LongToken
from nextfill.tokenizers.inspection_result import SplitWord as SplitWord
from nextfill.tokenizers.inspection_result import TokenizerFigures as TokenizerFigures
from nextfill.tokenizers.inspection_result import TokenizerInspection as TokenizerInspection
from nextfill.tokenizers.inspection_result import UnknownWord as UnknownWord
from nextfill.tokenizers.train import TokenizerResult as TokenizerResult
from nextfill.api.cache import CacheListing
from nextfill.api.cache import Pruning
from nextfill.api.look_result import Look
from nextfill.api.packed_dataset import PackedDataset
from nextfill.config import Format
from nextfill.config import TxtMode
from nextfill.config.recipe_file import Recipe
from nextfill.core.progress import Observer
from nextfill.evaluation.comparison import Comparison
from nextfill.evaluation.figures import Evaluation
from nextfill.exporting.export_result import Export
from nextfill.hub.account import Login
from nextfill.hub.bundle import Bundle
from nextfill.hub.upload import Shared
from nextfill.runs.preparation_result import PrepareResult
from nextfill.runs.results import TrainResult
from nextfill.serving.server import Server
from nextfill.tokenizers.inspection_result import TokenizerInspection
from nextfill.tokenizers.train import TokenizerResult
from os import PathLike

__version__: str

__all__ = [
    "BaseEvaluation",
    "BeforeAfter",
    "Bundle",
    "CacheEntry",
    "CacheListing",
    "Change",
    "Collator",
    "Comparison",
    "ConfigError",
    "DataConfig",
    "DataError",
    "Difference",
    "Evaluation",
    "ExampleBlock",
    "Export",
    "HubError",
    "Interrupted",
    "Interval",
    "Login",
    "LongToken",
    "Look",
    "ModelError",
    "NewWords",
    "NextfillError",
    "NotSharedError",
    "Observer",
    "OtherRankError",
    "PackedDataset",
    "PrepareResult",
    "Pruning",
    "PseudoFigures",
    "QuantizedBase",
    "Recipe",
    "RunError",
    "ScoredText",
    "ScoredToken",
    "Server",
    "Shared",
    "SplitWord",
    "Stage",
    "TeacherEvaluation",
    "TextField",
    "TokenizerFigures",
    "TokenizerInspection",
    "TokenizerResult",
    "TrainResult",
    "UnknownWord",
    "UnreachableModelError",
    "bundle",
    "evaluate",
    "export",
    "fill",
    "generate",
    "inspect_tokenizer",
    "list_cache",
    "login",
    "look",
    "packed_dataset",
    "prepare",
    "prune_cache",
    "read_records",
    "recipe_schema",
    "recipes",
    "report",
    "serve",
    "share",
    "track",
    "train",
    "train_tokenizer",
]

def bundle(
    run: str | Path,
    out: str | Path | None = None,
    adapter: bool = False,
    license: str | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
) -> Bundle:
    """Write a run's model, tokenizer and card into one file to send to another person.

    It is a zip archive of one folder, which transformers reads as it is, with three lines that say
    how. Nothing in it tells of this machine; the same model gives the same bytes.

    Args:
        run: The run directory, or a model's folder.
        out: a new .zip file; default: the run's name, in this folder
        adapter: the adapter alone, not merged into its model (default: False)
        license: the license that the model's card states, such as apache-2.0
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info

    Returns:
        The file, its size, the files in it, and the lines to type for one who receives it.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If the run has no model.
        ModelError: If a file of the model was damaged since the training.
        NextfillError: If the file is there already, or cannot be written.
    """
    ...

@overload
def evaluate(
    model: list[str] | list[Path] | list[str | Path] | tuple[str | PathLike[str], ...],
    *others: str | PathLike[str],
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    base: bool = True,
    show: int = 0,
    show_tokens: int = 300,
    alternatives: int = 5,
    page: str | None = None,
    pseudo: bool = False,
    pseudo_metric: Literal["original", "within-word"] = "within-word",
    out: str | Path | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    nproc: int | Literal["auto"] | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    stride: int | None = None,
    start_token: bool = True,
    eval_batch_size: int = 32,
    by: str | None = None,
    drop_leaks: bool = False,
    mask_seed: int = 0,
    blocks: Mapping[str, Any] = ...,
    evaluation: Mapping[str, Any] = ...,
) -> Comparison:
    """Score documents with a model, or with several side by side.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``), or a list of several names. A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``; and the model that it was made from stands beside it as ``base``.
        *others: Further models by name, compared on the same documents.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: next token, or fill in the blank; default: what the model was made for
        base: put the model that a run was made from beside it (default: True)
        show: documents to show token by token: those that gained and lost (or cost) most and least
            (default: 0)
        show_tokens: tokens to show of each (default: 300)
        alternatives: likeliest tokens to tell at each place that is shown (default: 5)
        page: show it as a page, in colour, in this new .html file; 6 documents unless --show
        pseudo: hide each token of the text once, and fill it in: a masked model's figures per byte
            (default: False)
        pseudo_metric: hide a token with the rest of its word, or alone (original) (default:
            'within-word')
        out: write what each document costs into this new .jsonl file, one a line
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        device: where to compute (default: 'auto')
        precision: fp32 gives the same nats at any batch size (default: 'fp32')
        nproc: processes of this machine that evaluate together; auto is one for each GPU, and 1
            this one alone; on many machines torchrun starts them
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)
        stride: new targets per further window of a long document; default: windows follow one
            another, the last reaching back to be full
        start_token: begin each document with the start token, so that its first token is scored,
            too (default: True)
        eval_batch_size: windows per forward pass (default: 32)
        by: also tell the figures of each group of documents, by this field: category, say
        drop_leaks: leave documents out that also stand in the training data, exactly or nearly
            (default: False)
        mask_seed: seeds the masks of evaluations, which are the same for every model and seed
            (default: 0)

    Returns:
        Nats and counts, perplexity, bits per byte and the rest, an `Evaluation`; of several models
        a `Comparison`: each one's figures, and the differences of each pair, with intervals.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    ...

@overload
def evaluate(
    model: Any,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    base: bool = True,
    show: int = 0,
    show_tokens: int = 300,
    alternatives: int = 5,
    page: str | None = None,
    pseudo: bool = False,
    pseudo_metric: Literal["original", "within-word"] = "within-word",
    out: str | Path | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    nproc: int | Literal["auto"] | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    stride: int | None = None,
    start_token: bool = True,
    eval_batch_size: int = 32,
    by: str | None = None,
    drop_leaks: bool = False,
    mask_seed: int = 0,
    blocks: Mapping[str, Any] = ...,
    evaluation: Mapping[str, Any] = ...,
) -> Evaluation:
    """Score documents with a model, or with several side by side.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``), or a list of several names. A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``; and the model that it was made from stands beside it as ``base``.
        *others: Further models by name, compared on the same documents.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: next token, or fill in the blank; default: what the model was made for
        base: put the model that a run was made from beside it (default: True)
        show: documents to show token by token: those that gained and lost (or cost) most and least
            (default: 0)
        show_tokens: tokens to show of each (default: 300)
        alternatives: likeliest tokens to tell at each place that is shown (default: 5)
        page: show it as a page, in colour, in this new .html file; 6 documents unless --show
        pseudo: hide each token of the text once, and fill it in: a masked model's figures per byte
            (default: False)
        pseudo_metric: hide a token with the rest of its word, or alone (original) (default:
            'within-word')
        out: write what each document costs into this new .jsonl file, one a line
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        device: where to compute (default: 'auto')
        precision: fp32 gives the same nats at any batch size (default: 'fp32')
        nproc: processes of this machine that evaluate together; auto is one for each GPU, and 1
            this one alone; on many machines torchrun starts them
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)
        stride: new targets per further window of a long document; default: windows follow one
            another, the last reaching back to be full
        start_token: begin each document with the start token, so that its first token is scored,
            too (default: True)
        eval_batch_size: windows per forward pass (default: 32)
        by: also tell the figures of each group of documents, by this field: category, say
        drop_leaks: leave documents out that also stand in the training data, exactly or nearly
            (default: False)
        mask_seed: seeds the masks of evaluations, which are the same for every model and seed
            (default: 0)

    Returns:
        Nats and counts, perplexity, bits per byte and the rest, an `Evaluation`; of several models
        a `Comparison`: each one's figures, and the differences of each pair, with intervals.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    ...

@overload
def evaluate(
    model: Any,
    other: str | PathLike[str],
    *others: str | PathLike[str],
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    base: bool = True,
    show: int = 0,
    show_tokens: int = 300,
    alternatives: int = 5,
    page: str | None = None,
    pseudo: bool = False,
    pseudo_metric: Literal["original", "within-word"] = "within-word",
    out: str | Path | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    nproc: int | Literal["auto"] | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    stride: int | None = None,
    start_token: bool = True,
    eval_batch_size: int = 32,
    by: str | None = None,
    drop_leaks: bool = False,
    mask_seed: int = 0,
    blocks: Mapping[str, Any] = ...,
    evaluation: Mapping[str, Any] = ...,
) -> Comparison:
    """Score documents with a model, or with several side by side.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``), or a list of several names. A run directory brings its own
            data, field, split and block size, so that without further settings the figure is the
            run's ``after``; and the model that it was made from stands beside it as ``base``.
        *others: Further models by name, compared on the same documents.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: next token, or fill in the blank; default: what the model was made for
        base: put the model that a run was made from beside it (default: True)
        show: documents to show token by token: those that gained and lost (or cost) most and least
            (default: 0)
        show_tokens: tokens to show of each (default: 300)
        alternatives: likeliest tokens to tell at each place that is shown (default: 5)
        page: show it as a page, in colour, in this new .html file; 6 documents unless --show
        pseudo: hide each token of the text once, and fill it in: a masked model's figures per byte
            (default: False)
        pseudo_metric: hide a token with the rest of its word, or alone (original) (default:
            'within-word')
        out: write what each document costs into this new .jsonl file, one a line
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        device: where to compute (default: 'auto')
        precision: fp32 gives the same nats at any batch size (default: 'fp32')
        nproc: processes of this machine that evaluate together; auto is one for each GPU, and 1
            this one alone; on many machines torchrun starts them
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)
        stride: new targets per further window of a long document; default: windows follow one
            another, the last reaching back to be full
        start_token: begin each document with the start token, so that its first token is scored,
            too (default: True)
        eval_batch_size: windows per forward pass (default: 32)
        by: also tell the figures of each group of documents, by this field: category, say
        drop_leaks: leave documents out that also stand in the training data, exactly or nearly
            (default: False)
        mask_seed: seeds the masks of evaluations, which are the same for every model and seed
            (default: 0)

    Returns:
        Nats and counts, perplexity, bits per byte and the rest, an `Evaluation`; of several models
        a `Comparison`: each one's figures, and the differences of each pair, with intervals.

    Raises:
        NextfillError: If the model or the data cannot be used.
    """
    ...

def export(
    model: Any,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    to: Literal["ctranslate2", "gguf", "onnx", "openvino"] | None = None,
    out: str | Path | None = None,
    quantization: Literal[
        "none", "int8", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"
    ] = "none",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
) -> Export:
    """Write a model in the form of another program, and compare the two on real text.

    It is read back by that program, which has to give the same nats and the same likeliest texts
    as the model here, or nothing is written. What fewer bits cost is measured in the same way.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``). An adapter is merged in.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        to: the program's format: that of its library, or ONNX
        out: folder of the exported model, new or empty
        quantization: weights of fewer bits: int8, or for gguf any but none; what they cost is
            measured (default: 'none')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it

    Returns:
        The folder, the files in it, and how the model in it compares with the one it was made from.

    Raises:
        ConfigError: If the settings cannot be used, a library is missing, or the format has no
            place for the model.
        ModelError: If the model cannot be read, or computes otherwise when it is exported.
        KeyboardInterrupt: On Ctrl-C; nothing has been written then.
    """
    ...

def fill(
    model: Any,
    text: str | Sequence[str] | None = None,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    out: str | Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    prompts: str | Path | Mapping[str, Any] | None = None,
    prompt_field: str | None = None,
    top_k: int = 5,
    targets: Sequence[str] | None = None,
    answer_tokens: int = 1,
    fill_batch_size: int = 32,
    filling: Mapping[str, Any] = ...,
) -> list[Any]:
    """Fill the blanks of a text with a masked model.

    Args:
        model: A run directory, folder or Hub id, or a live transformers model (with
            ``tokenizer``).
        text: A text, or several; or none, but a file of them as ``prompts``. A blank is the
            model's own mask token, ``<mask>``, ``[MASK]``, or three underscores or more.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        out: write the answers into this new .jsonl file, one a line
        device: where to compute (default: 'auto')
        precision: fp32 gives the same answers at any batch size (default: 'fp32')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        prompts: prompts: anything that --data takes; of .txt and .md, a prompt a line
        prompt_field: path to the prompt in a record; default: prompt, text, or the only text
        top_k: answers for each blank, likeliest first (default: 5)
        targets: compare this word with the other targets alone; may be given several times
        answer_tokens: tokens of an answer at most; above 1 --top-k beams search for it (default: 1)
        fill_batch_size: texts, or beams, computed at once; in fp32 it changes no answer (default:
            32)

    Returns:
        For one text with one blank a list of answers, likeliest first, each with its ``score``,
        ``token``, ``token_str`` and the ``sequence`` that it completes; with several blanks a list
        of such lists; for several texts a list of all that. This is the shape of transformers'
        fill-mask pipeline.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a text cannot be used.
    """
    ...

@overload
def generate(
    model: Any,
    prompt: str | None = None,
    *,
    prompts: None = None,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: Literal["full", "int8"] = "full",
    engine: Literal["auto", "torch", "ctranslate2"] = "auto",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    prompt_field: str | None = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    stop: Sequence[str] | None = None,
    suffix: str | None = None,
    suffix_order: Literal["psm", "spm"] = "psm",
    num_samples: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    num_beams: int = 1,
    length_penalty: float | None = None,
    generation_batch_size: int = 16,
    generation: Mapping[str, Any] = ...,
) -> list[dict[str, str]]:
    """Continue a text with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the sampling (default: 0)
        out: write the texts into this new .jsonl file, one a line
        cache_dir: where models converted for ctranslate2 lie; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        device: where to compute (default: 'auto')
        precision: auto is bf16 where the hardware has it (default: 'auto')
        weights: int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured
            (default: 'full')
        engine: what computes: auto is torch; ctranslate2 draws other random numbers (default:
            'auto')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        prompts: prompts: anything that --data takes; of .txt and .md, a prompt a line
        prompt_field: path to the prompt in a record; default: prompt, text, or the only text
        max_new_tokens: tokens to add at most (default: 100)
        min_new_tokens: tokens to add before the text may end (default: 0)
        stop: end the text before this string; may be given several times
        suffix: text after the prompt: what stands between the two is filled in, by a model that was
            trained for it (--fim-rate)
        suffix_order: what the model reads first of the two: psm, the prompt; spm, the suffix
            (default: 'psm')
        num_samples: continuations per prompt (default: 1)
        greedy: always take the likeliest token (default: False)
        temperature: flattens (above 1) or sharpens (below); default: 1
        top_k: sample from the k likeliest tokens; 0 for all; default: 50
        top_p: and from the likeliest that hold this share of probability; default: 0.95
        min_p: and from those at least this share as likely as the likeliest; default: 0, all
        typical_p: and from the most typical that hold this share of probability; default: 1, all
        repetition_penalty: makes tokens of the text so far less likely (above 1) or more (below)
            (default: 1.0)
        no_repeat_ngram_size: let no so many tokens in a row occur twice, the prompt's included; 0
            for no limit (default: 0)
        num_beams: search for the likeliest text with so many beams; samples only where asked to
            (default: 1)
        length_penalty: prefers long (above 0) or short (below) texts among the beams; default: 1
        generation_batch_size: continuations, or beams, computed at once; in fp32 it changes no text
            (default: 16)

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline. With a ``suffix`` the text ends with that,
        and what was filled in before it also stands alone, as ``middle``.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.
    """
    ...

@overload
def generate(
    model: Any,
    prompt: list[str] | tuple[str, ...],
    *,
    prompts: None = None,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: Literal["full", "int8"] = "full",
    engine: Literal["auto", "torch", "ctranslate2"] = "auto",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    prompt_field: str | None = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    stop: Sequence[str] | None = None,
    suffix: str | None = None,
    suffix_order: Literal["psm", "spm"] = "psm",
    num_samples: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    num_beams: int = 1,
    length_penalty: float | None = None,
    generation_batch_size: int = 16,
    generation: Mapping[str, Any] = ...,
) -> list[list[dict[str, str]]]:
    """Continue a text with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the sampling (default: 0)
        out: write the texts into this new .jsonl file, one a line
        cache_dir: where models converted for ctranslate2 lie; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        device: where to compute (default: 'auto')
        precision: auto is bf16 where the hardware has it (default: 'auto')
        weights: int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured
            (default: 'full')
        engine: what computes: auto is torch; ctranslate2 draws other random numbers (default:
            'auto')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        prompts: prompts: anything that --data takes; of .txt and .md, a prompt a line
        prompt_field: path to the prompt in a record; default: prompt, text, or the only text
        max_new_tokens: tokens to add at most (default: 100)
        min_new_tokens: tokens to add before the text may end (default: 0)
        stop: end the text before this string; may be given several times
        suffix: text after the prompt: what stands between the two is filled in, by a model that was
            trained for it (--fim-rate)
        suffix_order: what the model reads first of the two: psm, the prompt; spm, the suffix
            (default: 'psm')
        num_samples: continuations per prompt (default: 1)
        greedy: always take the likeliest token (default: False)
        temperature: flattens (above 1) or sharpens (below); default: 1
        top_k: sample from the k likeliest tokens; 0 for all; default: 50
        top_p: and from the likeliest that hold this share of probability; default: 0.95
        min_p: and from those at least this share as likely as the likeliest; default: 0, all
        typical_p: and from the most typical that hold this share of probability; default: 1, all
        repetition_penalty: makes tokens of the text so far less likely (above 1) or more (below)
            (default: 1.0)
        no_repeat_ngram_size: let no so many tokens in a row occur twice, the prompt's included; 0
            for no limit (default: 0)
        num_beams: search for the likeliest text with so many beams; samples only where asked to
            (default: 1)
        length_penalty: prefers long (above 0) or short (below) texts among the beams; default: 1
        generation_batch_size: continuations, or beams, computed at once; in fp32 it changes no text
            (default: 16)

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline. With a ``suffix`` the text ends with that,
        and what was filled in before it also stands alone, as ``middle``.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.
    """
    ...

@overload
def generate(
    model: Any,
    prompt: None = None,
    *,
    prompts: str | Path,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: Literal["full", "int8"] = "full",
    engine: Literal["auto", "torch", "ctranslate2"] = "auto",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    prompt_field: str | None = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    stop: Sequence[str] | None = None,
    suffix: str | None = None,
    suffix_order: Literal["psm", "spm"] = "psm",
    num_samples: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    num_beams: int = 1,
    length_penalty: float | None = None,
    generation_batch_size: int = 16,
    generation: Mapping[str, Any] = ...,
) -> list[list[dict[str, str]]]:
    """Continue a text with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the sampling (default: 0)
        out: write the texts into this new .jsonl file, one a line
        cache_dir: where models converted for ctranslate2 lie; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        device: where to compute (default: 'auto')
        precision: auto is bf16 where the hardware has it (default: 'auto')
        weights: int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured
            (default: 'full')
        engine: what computes: auto is torch; ctranslate2 draws other random numbers (default:
            'auto')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        prompts: prompts: anything that --data takes; of .txt and .md, a prompt a line
        prompt_field: path to the prompt in a record; default: prompt, text, or the only text
        max_new_tokens: tokens to add at most (default: 100)
        min_new_tokens: tokens to add before the text may end (default: 0)
        stop: end the text before this string; may be given several times
        suffix: text after the prompt: what stands between the two is filled in, by a model that was
            trained for it (--fim-rate)
        suffix_order: what the model reads first of the two: psm, the prompt; spm, the suffix
            (default: 'psm')
        num_samples: continuations per prompt (default: 1)
        greedy: always take the likeliest token (default: False)
        temperature: flattens (above 1) or sharpens (below); default: 1
        top_k: sample from the k likeliest tokens; 0 for all; default: 50
        top_p: and from the likeliest that hold this share of probability; default: 0.95
        min_p: and from those at least this share as likely as the likeliest; default: 0, all
        typical_p: and from the most typical that hold this share of probability; default: 1, all
        repetition_penalty: makes tokens of the text so far less likely (above 1) or more (below)
            (default: 1.0)
        no_repeat_ngram_size: let no so many tokens in a row occur twice, the prompt's included; 0
            for no limit (default: 0)
        num_beams: search for the likeliest text with so many beams; samples only where asked to
            (default: 1)
        length_penalty: prefers long (above 0) or short (below) texts among the beams; default: 1
        generation_batch_size: continuations, or beams, computed at once; in fp32 it changes no text
            (default: 16)

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline. With a ``suffix`` the text ends with that,
        and what was filled in before it also stands alone, as ``middle``.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.
    """
    ...

@overload
def generate(
    model: Any,
    prompt: Sequence[str] | None = None,
    *,
    prompts: Any = None,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: Literal["full", "int8"] = "full",
    engine: Literal["auto", "torch", "ctranslate2"] = "auto",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    prompt_field: str | None = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    stop: Sequence[str] | None = None,
    suffix: str | None = None,
    suffix_order: Literal["psm", "spm"] = "psm",
    num_samples: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    num_beams: int = 1,
    length_penalty: float | None = None,
    generation_batch_size: int = 16,
    generation: Mapping[str, Any] = ...,
) -> list[Any]:
    """Continue a text with a model.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the sampling (default: 0)
        out: write the texts into this new .jsonl file, one a line
        cache_dir: where models converted for ctranslate2 lie; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        device: where to compute (default: 'auto')
        precision: auto is bf16 where the hardware has it (default: 'auto')
        weights: int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured
            (default: 'full')
        engine: what computes: auto is torch; ctranslate2 draws other random numbers (default:
            'auto')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        prompts: prompts: anything that --data takes; of .txt and .md, a prompt a line
        prompt_field: path to the prompt in a record; default: prompt, text, or the only text
        max_new_tokens: tokens to add at most (default: 100)
        min_new_tokens: tokens to add before the text may end (default: 0)
        stop: end the text before this string; may be given several times
        suffix: text after the prompt: what stands between the two is filled in, by a model that was
            trained for it (--fim-rate)
        suffix_order: what the model reads first of the two: psm, the prompt; spm, the suffix
            (default: 'psm')
        num_samples: continuations per prompt (default: 1)
        greedy: always take the likeliest token (default: False)
        temperature: flattens (above 1) or sharpens (below); default: 1
        top_k: sample from the k likeliest tokens; 0 for all; default: 50
        top_p: and from the likeliest that hold this share of probability; default: 0.95
        min_p: and from those at least this share as likely as the likeliest; default: 0, all
        typical_p: and from the most typical that hold this share of probability; default: 1, all
        repetition_penalty: makes tokens of the text so far less likely (above 1) or more (below)
            (default: 1.0)
        no_repeat_ngram_size: let no so many tokens in a row occur twice, the prompt's included; 0
            for no limit (default: 0)
        num_beams: search for the likeliest text with so many beams; samples only where asked to
            (default: 1)
        length_penalty: prefers long (above 0) or short (below) texts among the beams; default: 1
        generation_batch_size: continuations, or beams, computed at once; in fp32 it changes no text
            (default: 16)

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline. With a ``suffix`` the text ends with that,
        and what was filled in before it also stands alone, as ``middle``.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.
    """
    ...

def inspect_tokenizer(
    *tokenizers: Any,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    examples: int = 10,
    cache_dir: str | Path | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    model: Mapping[str, Any] = ...,
) -> TokenizerInspection:
    """Measure tokenizers on text: tokens per word, the words they split most, the text they lose.

    Args:
        *tokenizers: Each a folder, run directory, Hub id or ``builtin:NAME``, or a live tokenizer
            of transformers; several are compared on the same text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the split, as in nextfill train (default: 0)
        examples: words and tokens that are listed (default: 10)
        cache_dir: where data handed over from Python are kept; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        revision: branch, tag or commit on the Hub
        trust_remote_code: run code that comes with it (unsafe) (default: False)
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)

    Returns:
        The figures of each tokenizer.

    Raises:
        NextfillError: If a tokenizer or the data cannot be used.
    """
    ...

def list_cache(
    cache_dir: str | Path | None = None,
) -> CacheListing:
    """List the contents of the cache: token stores, tokenizers, and data handed over from Python.

    Args:
        cache_dir: the cache folder; default: nextfill in XDG_CACHE_HOME, or in ~/.cache

    Returns:
        The entries with their sizes and times of last use.

    Raises:
        ConfigError: With every setting that cannot be used.
        DataError: If the cache may not be listed.
    """
    ...

def login(
    token: str | None = None,
) -> Login:
    """Log in to the Hugging Face Hub, through huggingface_hub, which keeps the token.

    Args:
        token: From the Hub's settings page. None asks for it at a terminal or in a notebook,
            without showing it; an empty answer keeps the one at hand. A script without a terminal
            passes it, or sets HF_TOKEN in its environment, and needs no login then.

    Returns:
        The account, and the permissions of the token.

    Raises:
        HubError: If the Hub does not accept the token, and nothing is kept then; or if there is
            nobody to ask.
    """
    ...

def look(
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    records: int = 3,
    full: bool = False,
    model: Any = "builtin:base-causal",
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    fim_rate: float = 0.0,
    fim_spm_rate: float = 0.5,
    fim_tokens: str | None = None,
    fim_min_characters: int = 32,
    fim_max_middle: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    blocks: Mapping[str, Any] = ...,
    infilling: Mapping[str, Any] = ...,
) -> Look:
    """Look at the first records of data, the text in them, and what they become.

    No more is read than the first records need (1,000, or a million characters), so that a source
    may be huge or without an end; and nothing is written. An iterator is used up so far.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: what the blocks are for, which says where special tokens stand; default: causal
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        records: records to show (default: 3)
        full: show records, the first document and the first block whole (default: False)
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        fim_rate: share of the training documents whose middle is put at the end, so that a causal
            model learns to fill it in; 0.5 in the paper (default: 0.0)
        fim_spm_rate: share of them whose suffix comes first (SPM), and not the prefix (PSM)
            (default: 0.5)
        fim_tokens: the tokens that stand before a prefix, a suffix and a middle:
            PREFIX,SUFFIX,MIDDLE; default: those that the tokenizer has under a known name
        fim_min_characters: a document of fewer characters stays as it is (default: 32)
        fim_max_middle: a middle has at most so many characters: 40 for words and parts of a line;
            default: up to the whole document, as in the paper
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)

    Returns:
        The records, the field that is taken and why, the documents, tokens and blocks of what was
        read, the first block, and what would be held out. Where `prepare` would stop, ``problem``
        is its error.

    Raises:
        NextfillError: If the data, their first record, the tokenizer or a setting cannot be used.
    """
    ...

def packed_dataset(
    *,
    part: Literal["all", "train", "held-out"] = "all",
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    model: Any = "builtin:base-causal",
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    fim_rate: float = 0.0,
    fim_spm_rate: float = 0.5,
    fim_tokens: str | None = None,
    fim_min_characters: int = 32,
    fim_max_middle: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    blocks: Mapping[str, Any] = ...,
    infilling: Mapping[str, Any] = ...,
) -> PackedDataset:
    """Tokenize data once and pack them into blocks, as a data set for transformers' Trainer.

    Args:
        part: All of the data; or the part that `nextfill.train` would train on, or the one that it
            would hold out, with the same ``test_size``, ``eval_data``, ``eval_split`` and ``seed``.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: what the blocks are for, which says where special tokens stand; default: causal
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        fim_rate: share of the training documents whose middle is put at the end, so that a causal
            model learns to fill it in; 0.5 in the paper (default: 0.0)
        fim_spm_rate: share of them whose suffix comes first (SPM), and not the prefix (PSM)
            (default: 0.5)
        fim_tokens: the tokens that stand before a prefix, a suffix and a middle:
            PREFIX,SUFFIX,MIDDLE; default: those that the tokenizer has under a known name
        fim_min_characters: a document of fewer characters stays as it is (default: 32)
        fim_max_middle: a middle has at most so many characters: 40 for words and parts of a line;
            default: up to the whole document, as in the paper
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)

    Returns:
        A map-style data set of blocks without padding. Train on it with `nextfill.Collator`, which
        keeps packed documents apart; another collator lets them see one another.

    Raises:
        NextfillError: If the data, the tokenizer or a setting cannot be used.
    """
    ...

def prepare(
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    model: Any = "builtin:base-causal",
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    fim_rate: float = 0.0,
    fim_spm_rate: float = 0.5,
    fim_tokens: str | None = None,
    fim_min_characters: int = 32,
    fim_max_middle: int | None = None,
    blocks: Mapping[str, Any] = ...,
    infilling: Mapping[str, Any] = ...,
) -> PrepareResult:
    """Read, tokenize and divide data without training.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: what the blocks are for, which says where special tokens stand; default: causal
        seed: seeds the split (default: 0)
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        engine: what reads and encodes: this process, or the workers of Ray, part by part (default:
            'local')
        ray_address: a cluster's address, HOST:PORT, or auto; default: Ray on this machine, for as
            long
        workers: processes of Ray on this machine; default: one for each processor
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        fim_rate: share of the training documents whose middle is put at the end, so that a causal
            model learns to fill it in; 0.5 in the paper (default: 0.0)
        fim_spm_rate: share of them whose suffix comes first (SPM), and not the prefix (PSM)
            (default: 0.5)
        fim_tokens: the tokens that stand before a prefix, a suffix and a middle:
            PREFIX,SUFFIX,MIDDLE; default: those that the tokenizer has under a known name
        fim_min_characters: a document of fewer characters stays as it is (default: 32)
        fim_max_middle: a middle has at most so many characters: 40 for words and parts of a line;
            default: up to the whole document, as in the paper

    Returns:
        The folders of the tokens, and the ledger.

    Raises:
        NextfillError: If the data or the tokenizer cannot be used.
    """
    ...

def prune_cache(
    cache_dir: str | Path | None = None,
    older_than: str | None = None,
    max_size: str | None = None,
    inputs: bool = False,
    dry_run: bool = False,
) -> Pruning:
    """Remove entries from the cache that were not used for long; those in use stay.

    Args:
        cache_dir: the cache folder; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        older_than: what was not used for so long, such as 12h or 30d; default: 30d
        max_size: what was not used for longest, until the rest is no larger, such as 5GB
        inputs: data handed over from Python, too, which cannot be made again (default: False)
        dry_run: only say what would be removed (default: False)

    Returns:
        The entries that were removed.

    Raises:
        ConfigError: With every setting that cannot be used.
        DataError: If the cache may not be listed.
    """
    ...

def read_records(
    data: str | Path,
    *,
    split: str | None = None,
    txt: TxtMode | None = None,
    format: Format | None = None,
) -> Iterator[Mapping[str, Any] | str]:
    """Read the records of data as the other verbs do, to look at or to change.

    Args:
        data: A file, folder, glob, zip archive, address, Hub id or ``builtin:NAME``, or ``-``.
        split: A slice, such as ``train[:100]``.
        txt: The unit of a document in plain text: ``paragraph``, ``line`` or ``file``; None for
            paragraphs in a single .txt file, and whole files elsewhere.
        format: The format of all files, such as ``jsonl``; None goes by their names.

    Returns:
        An iterator of records: dicts, or texts where the data are plain text.

    Raises:
        NextfillError: If the data cannot be used.
    """
    ...

def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of the recipes that `nextfill train` takes.

    Returns:
        The settings of the config classes in the forms of a recipe: no nulls, which TOML does not
        have; ``model = "gpt2"`` for a section with a shorthand; tables with names of their own.

    Source:
        https://json-schema.org/draft/2020-12
    """
    ...

def recipes(
    name: str | None = None,
) -> list[Recipe]:
    """Return the recipes that ship.

    Args:
        name: Only the one of this name.

    Returns:
        The recipes in the order of their names.

    Raises:
        ConfigError: If there is none of that name.
    """
    ...

def report(
    run: str | Path,
    *others: str | Path,
    on_ready: Callable[[str], None] | None = None,
    out: str | Path | None = None,
    live: bool = False,
) -> Path:
    """Make the report of a run, or of several beside one another, as one HTML page.

    Of one run: its curves, figures, samples, ledger and settings. Of several: their curves over
    steps, tokens and time, their figures, with the differences from the first document by document
    where they held out the same text, and the settings in which they differ.

    Args:
        run: The run directory, of a run that is finished, stopped or still going on.
        *others: Further runs.
        on_ready: With ``live``, gets the page's address; default: it is printed on stderr.
        out: the .html file of the page of several runs; default: runs.html
        live: follow one run under way, on a page of this machine alone, until Ctrl-C (default:
            False)

    Returns:
        The page: ``report.html`` in the run directory, or that of several runs. It is made from
        the runs' files alone.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If there is no run, a file of it is damaged, or the page cannot be written.
    """
    ...

def serve(
    model: Any,
    *others: str | PathLike[str],
    wait: bool = True,
    observer: Observer | None = None,
    quiet: bool | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    weights: Literal["full", "int8"] = "full",
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    before: bool = False,
    max_concurrent: int = 32,
    max_queued: int = 128,
    max_prompt_tokens: int | None = None,
    max_answer_tokens: int = 1024,
    max_body_bytes: int = 1000000,
    max_seconds: float = 300.0,
    serving: Mapping[str, Any] = ...,
) -> Server | None:
    """Serve models over HTTP: OpenAI's API, Hugging Face's, and a page to try them on.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        *others: Further models by name, served beside it.
        wait: Whether to wait until Ctrl-C or SIGTERM ends it; else the server is returned, which
            answers until it is closed: ``with nextfill.serve(model, wait=False) as server: ...``
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        device: where to compute (default: 'auto')
        precision: fp32 gives the same text at a seed whoever else is served (default: 'fp32')
        weights: int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured
            (default: 'full')
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        host: address to listen at; 0.0.0.0 is open to the network (default: '127.0.0.1')
        port: port to listen at; 0 for a free one (default: 8000)
        api_key: key that clients have to give; default: NEXTFILL_API_KEY in the environment, if any
        before: serve the model that a run began from, too, as NAME:before, for the page to compare
            (default: False)
        max_concurrent: texts that grow at once, in one step of the model (default: 32)
        max_queued: texts that may wait for their turn; more are refused with status 429 (default:
            128)
        max_prompt_tokens: tokens of a prompt at most; default: as many as the model has positions
        max_answer_tokens: tokens that a request may ask for at most (default: 1024)
        max_body_bytes: bytes of a request at most; more are refused with status 413 (default:
            1000000)
        max_seconds: seconds that a request may take; a text ends there with what it has (default:
            300.0)

    Returns:
        The server, with its ``url``; None where it was waited for.

    Raises:
        ConfigError: With every setting that cannot be used, or an address that is taken.
        NextfillError: If a model cannot be used.
    """
    ...

def share(
    run: str | Path,
    repo: str,
    *,
    quiet: bool = True,
    private: bool = False,
    adapter: bool = False,
    license: str | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
) -> Shared:
    """Push a run's model, tokenizer and card to a repository of the Hugging Face Hub.

    It is one commit with all files, and can be repeated: files that are there are not sent again.

    Args:
        run: The run directory, or a model's folder.
        repo: ``USER/NAME``; made if it does not exist.
        quiet: Whether to show no bars while files are sent.
        private: make a new repository private (default: False)
        adapter: push the adapter alone, not merged into its model (default: False)
        license: the license that the model's card states, such as apache-2.0
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info

    Returns:
        Its address, and the files that were sent.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If the run has no model.
        NotSharedError: If the Hub refuses or cannot be reached; says how to repeat it.
    """
    ...

def track(
    run: str | Path,
    trackers: str | None = None,
    samples: bool = False,
    follow: bool = False,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
) -> dict[str, dict[str, int | str]]:
    """Send the curves of a run, finished or growing, to trackers.

    Each tracker gets each point of the run's ``events.jsonl`` once, however often it is asked for;
    where the run has gone back to a checkpoint and took other steps from there, it gets the run
    anew.

    Args:
        run: The run directory.
        trackers: tensorboard, trackio, wandb or mlflow; several are joined by commas; default:
            those that the run was trained with
        samples: send the texts of samples, too (default: False)
        follow: go on until the run ends, or Ctrl-C (default: False)
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info

    Returns:
        By tracker the number of ``points`` that were sent now, and ``place``, where they are.

    Raises:
        ConfigError: If there is no such tracker, or its library is not installed.
        RunError: If there is no run, or a file of it is damaged.
    """
    ...

def train(
    recipe: str | Path | None = None,
    *,
    resume: bool = False,
    rewarm: bool = False,
    observer: Observer | None = None,
    quiet: bool | None = None,
    objective: Literal["causal", "masked"] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    cache_limit: str | None = None,
    store: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    nproc: int | Literal["auto"] | None = None,
    parallel: Literal["auto", "ddp", "fsdp"] | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    model: Any = "builtin:base-causal",
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: Literal["eager", "sdpa"] | None = None,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    block_size: int | None = None,
    packing: Literal["concat", "best-fit", "pad"] = "best-fit",
    end_of_document: bool = True,
    isolate: bool = True,
    window_rows: int | None = None,
    masking: Literal["token", "word", "span"] | Mapping[str, Any] = "token",
    mask_rate: float = 0.15,
    mask_rate_start: float | None = None,
    mask_rate_end: float | None = None,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    fim_rate: float = 0.0,
    fim_spm_rate: float = 0.5,
    fim_tokens: str | None = None,
    fim_min_characters: int = 32,
    fim_max_middle: int | None = None,
    replay: float | Mapping[str, Any] | None = None,
    replay_data: str | None = None,
    replay_split: str | None = None,
    replay_text_field: str | None = None,
    replay_test_size: float | None = None,
    epochs: float = 3.0,
    max_steps: int | None = None,
    batch_size: int = 8,
    micro_batch_size: int | None = None,
    least_steps: int | None = None,
    optimizer: Literal["adamw", "adamw-unfused", "sgd", "adafactor"] = "adamw",
    learning_rate: float = 5e-05,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    max_grad_norm: float = 1.0,
    schedule: Literal["linear", "cosine", "wsd", "constant", "inverse_sqrt"] = "linear",
    warmup_steps: float = 0.0,
    dropout: float | None = None,
    train_only: Sequence[str] | None = None,
    freeze: Sequence[str] | None = None,
    layer_rate_decay: float = 1.0,
    ema_decay: float | None = None,
    normalize_by: Literal["targets", "tokens"] = "targets",
    eval_every: int | None = None,
    save_every: int | None = None,
    keep_checkpoints: int = 2,
    keep: Literal["last", "best"] = "last",
    early_stopping: int | None = None,
    compile: bool = False,
    gradient_checkpointing: bool = False,
    sample_prompt: str | None = None,
    backend: Literal["torch", "keras"] = "torch",
    keras_backend: Literal["tensorflow", "jax", "torch"] | None = None,
    add_tokens: Sequence[str] | None = None,
    add_tokens_file: str | None = None,
    add_tokens_from_data: int | None = None,
    lora_rank: int | None = None,
    lora_alpha: float | None = None,
    lora_scaling: Literal["plain", "rank-stabilised"] = "plain",
    lora_dora: bool = False,
    lora_init: Literal["zero", "pissa", "olora", "eva"] = "zero",
    lora_quantization: Literal["none", "nf4"] = "none",
    lora_dropout: float = 0.0,
    lora_targets: str | Sequence[str] | None = None,
    lora_head: bool = False,
    lora_norms: bool = False,
    lora_merge: bool = False,
    teacher: str | None = None,
    teacher_revision: str | None = None,
    distill_weight: float | None = None,
    distill_temperature: float | None = None,
    student_layers: int | None = None,
    stride: int | None = None,
    start_token: bool = True,
    eval_batch_size: int = 32,
    by: str | None = None,
    drop_leaks: bool = False,
    mask_seed: int = 0,
    share: str | Mapping[str, Any] | None = None,
    share_private: bool = False,
    share_adapter: bool = False,
    share_license: str | None = None,
    track: str | Sequence[str] | None = None,
    track_samples: bool = False,
    blocks: Mapping[str, Any] = ...,
    infilling: Mapping[str, Any] = ...,
    training: Mapping[str, Any] = ...,
    new_tokens: Mapping[str, Any] = ...,
    lora: Mapping[str, Any] = ...,
    distillation: Mapping[str, Any] = ...,
    evaluation: Mapping[str, Any] = ...,
    tracking: Mapping[str, Any] = ...,
) -> TrainResult:
    """Fine-tune a language model and say how much better it got.

    Args:
        recipe: A TOML recipe, or the name of one that ships.
        resume: Go on with the run in ``out``; with ``max_steps`` or ``epochs`` to other steps than
            it was planned for, which is recorded as a new stage of the run.
        rewarm: With ``resume`` and further steps, begin the learning rate's schedule anew where
            the run is, warm-up and all, and with another ``learning_rate``, ``schedule`` or
            ``warmup_steps`` where one is given. A linear or cosine schedule goes on no other way.
        observer: Gets the progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        objective: next token, or fill in the blank; default: what the model was made for
        seed: seeds the split, the order and dropout (default: 0)
        out: run directory; default: runs/ and a name made from the job
        cache_dir: where token stores lie; default: nextfill in XDG_CACHE_HOME, or in ~/.cache
        cache_limit: the most that the cache may hold, such as 20GB: what was unused for longest is
            removed, and made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its
            disk
        store: where tokens are kept for many machines, an address (s3://, gs://) or a shared
            folder: found there, or put there, and copied to the cache shard by shard, as far as it
            has room; text that comes by --streaming is not kept there
        device: where to compute (default: 'auto')
        precision: auto is bf16 where the hardware has it (default: 'auto')
        nproc: processes of this machine that train together; auto is one for each GPU; on many
            machines torchrun starts them
        parallel: what each of them holds: the whole model (ddp) or a share of it (fsdp)
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        model: Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights
            (default: 'builtin:base-causal')
        tokenizer: Hub id or folder; default: the model's own
        revision: branch, tag or commit of the model on the Hub
        trust_remote_code: run code that comes with the model (unsafe) (default: False)
        attn_implementation: how attention is computed; default: sdpa where the model has it
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)
        block_size: tokens per row; default: 256, or the model's positions where those are fewer
        packing: best-fit keeps documents whole where they fit (default: 'best-fit')
        end_of_document: put the tokenizer's start and end tokens around each document (default:
            True)
        isolate: keep packed documents from seeing one another (default: True)
        window_rows: concat within windows of this many rows and drop each tail, as the guide does
        masking: hide single tokens, whole words, or spans of 1 to 10 words (default: 'token')
        mask_rate: share of the tokens that have to be filled in (default: 0.15)
        mask_rate_start: share at the first step of training, from which it goes evenly to --mask-
            rate-end
        mask_rate_end: share at the last step of training; default: --mask-rate, which an evaluation
            hides
        mask_share: share of them that the mask token replaces (default: 0.8)
        random_share: share of them that a random token replaces; the rest stay as they are
            (default: 0.1)
        fim_rate: share of the training documents whose middle is put at the end, so that a causal
            model learns to fill it in; 0.5 in the paper (default: 0.0)
        fim_spm_rate: share of them whose suffix comes first (SPM), and not the prefix (PSM)
            (default: 0.5)
        fim_tokens: the tokens that stand before a prefix, a suffix and a middle:
            PREFIX,SUFFIX,MIDDLE; default: those that the tokenizer has under a known name
        fim_min_characters: a document of fewer characters stays as it is (default: 32)
        fim_max_middle: a middle has at most so many characters: 40 for words and parts of a line;
            default: up to the whole document, as in the paper
        replay: share of the training blocks that are of general text, against forgetting it; what
            is forgotten is measured on a part of that text, the evaluation set replay; default:
            0.05 where there is --replay-data
        replay_data: the general text, such as builtin:stdlib-docs
        replay_split: slice of it, such as 'train[:5000]'
        replay_text_field: path to the text in its records
        replay_test_size: share (below 1) or number of its records that are scored, and not trained
            on; default: as --test-size
        epochs: passes over the training part (default: 3.0)
        max_steps: exactly so many steps, instead of epochs
        batch_size: blocks per optimizer step, over all devices (default: 8)
        micro_batch_size: blocks per forward pass; below batch_size, gradients accumulate
        least_steps: steps of an epoch at least: of few blocks batches are halved until it has them
        optimizer: adamw is fused; sgd has beta1 as its momentum; adafactor keeps the least memory
            (default: 'adamw')
        learning_rate: peak learning rate; of an adapter (--lora-rank) 5e-4, unless given (default:
            5e-05)
        weight_decay: AdamW's, none on biases and norms (default: 0.01)
        beta1: AdamW's first moment decay (default: 0.9)
        beta2: AdamW's second moment decay (default: 0.999)
        epsilon: AdamW's epsilon (default: 1e-08)
        max_grad_norm: gradient clipping norm; 0 for none (default: 1.0)
        schedule: learning rate after the warm-up (default: 'linear')
        warmup_steps: warm-up: steps, or below 1 a share of all steps (default: 0.0)
        dropout: dropout everywhere in the model; default: as the model's config says
        train_only: parameters to train: embeddings, norms, biases, layers:0-3, or a pattern of
            names; may be given again
        freeze: parameters to leave as they are, named like those of --train-only; may be given
            again
        layer_rate_decay: factor from each layer's learning rate to that of the layer below it
            (default: 1.0)
        ema_decay: evaluate and save a moving average of the weights, of which a step leaves this
            share
        normalize_by: the divisor of a step's loss; tokens is transformers.Trainer's for GPT-2
            (default: 'targets')
        eval_every: steps; default: each epoch
        save_every: steps; default: each epoch
        keep_checkpoints: the newest checkpoints that stay; the best step's weights do so, too
            (default: 2)
        keep: the weights that are saved: the last, or those with the best validation (default:
            'last')
        early_stopping: stop after so many validations in a row without a new best
        compile: compile the model's layers for its training steps; needs a C++ compiler on a CPU
            (default: False)
        gradient_checkpointing: compute activations again on the way back: less memory, about a
            third slower (default: False)
        sample_prompt: text continued at each evaluation
        backend: what takes the steps (default: 'torch')
        keras_backend: what Keras computes with; default: KERAS_BACKEND, or the first that is
            installed
        add_tokens: give this word a token of its own, set from its pieces; may be given several
            times
        add_tokens_file: and each word of this text file, one a line
        add_tokens_from_data: and so many more words of the training data: those that save most
            tokens
        lora_rank: train adapters of this rank (LoRA) and leave the model's own weights as they are
        lora_alpha: the adapter's scale is alpha / rank; default: twice the rank, 8 if rank-
            stabilised
        lora_scaling: alpha / rank, or rank-stabilised (rsLoRA): alpha / the rank's square root
            (default: 'plain')
        lora_dora: also train the length of each row of the adapted weights (DoRA) (default: False)
        lora_init: what the adapter begins as: zero, no change; pissa, the main directions of each
            weight; olora, the first rows and columns of its QR factors; eva, no change, and the
            main directions of each layer's inputs (default: 'zero')
        lora_quantization: hold the linear layers that get the adapter in 4 bits (QLoRA): nf4; needs
            bitsandbytes (default: 'none')
        lora_dropout: dropout before the adapter (default: 0.0)
        lora_targets: names of the layers, such as q_proj,v_proj; default: every linear layer but
            the head, and the experts
        lora_head: adapt the head, too, the projection onto the vocabulary: the most gain per
            parameter of a small model (default: False)
        lora_norms: train the norms, too, whole: few parameters, and a few points of the gain
            (default: False)
        lora_merge: save the model with its adapter merged in (default: False)
        teacher: also learn the predictions of this larger model of the same vocabulary: Hub id,
            folder, run directory or builtin:NAME
        teacher_revision: branch, tag or commit of the teacher on the Hub
        distill_weight: share of the teacher in the loss, the text has the rest; default: 0.7
        distill_temperature: flattens both models' predictions before they are compared; default: 2
        student_layers: begin with so many layers of the model, evenly taken; default model: the
            teacher
        stride: new targets per further window of a long document; default: windows follow one
            another, the last reaching back to be full
        start_token: begin each document with the start token, so that its first token is scored,
            too (default: True)
        eval_batch_size: windows per forward pass (default: 32)
        by: also tell the figures of each group of documents, by this field: category, say
        drop_leaks: leave documents out that also stand in the training data, exactly or nearly
            (default: False)
        mask_seed: seeds the masks of evaluations, which are the same for every model and seed
            (default: 0)
        share: push the model to this repository of the Hub, USER/NAME, at the end
        share_private: make a new repository private (default: False)
        share_adapter: push the adapter alone, not merged into its model (default: False)
        share_license: the license that the model's card states, such as apache-2.0
        track: send the curves to tensorboard, trackio, wandb or mlflow; several are joined by
            commas
        track_samples: send the texts of samples to the trackers, too (default: False)

    Returns:
        The paths of the run, and the model's evaluation before and after.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If data, model or run directory cannot be used.
        NotSharedError: If the model, which is saved, could not be pushed to ``share``; its
            ``result`` is the result of the training.
        Interrupted: On Ctrl-C, after the state is saved.
    """
    ...

def train_tokenizer(
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    log_level: Literal["error", "warning", "info", "debug"] | None = None,
    kind: Literal["bpe", "wordpiece"] = "bpe",
    vocab_size: int = 8192,
    min_frequency: int = 2,
    lowercase: bool = False,
    data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]] = "builtin:torch-docs",
    streaming: bool = False,
    portion_size: float = 16.0,
    split: str | None = None,
    text_field: str | None = None,
    context_field: str | None = None,
    join: str | None = None,
    explode: bool = False,
    keep_fields: Sequence[str] | None = None,
    format: Literal[
        "txt",
        "md",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "docx",
        "odt",
        "epub",
        "html",
        "rtf",
        "pdf",
    ]
    | None = None,
    encoding: str | None = None,
    txt: Literal["paragraph", "line", "file"] | None = None,
    test_size: float | None = None,
    validation_size: float | None = None,
    eval_data: str
    | Path
    | DataConfig
    | Iterable[str | None]
    | Iterable[Mapping[str, Any]]
    | None = None,
    eval_split: str | None = None,
    verify: bool = False,
    vocabulary: Mapping[str, Any] = ...,
) -> TokenizerResult:
    """Train a tokenizer on the text that `train` with the same settings would train on.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        seed: seeds the split, as in nextfill train (default: 0)
        out: folder of the tokenizer, new or empty
        cache_dir: where data handed over from Python are kept; default: nextfill in XDG_CACHE_HOME,
            or in ~/.cache
        log_level: what to tell on stderr: error, warning (as --quiet), info (progress, too) or
            debug (the libraries' logs, too); default of a command: info
        kind: bpe, on bytes, gives every text back as it was; wordpiece is BERT's (default: 'bpe')
        vocab_size: entries, special tokens included (default: 8192)
        min_frequency: times that two pieces have to stand together to become one (default: 2)
        lowercase: wordpiece: write everything in lower case, without accents (default: False)
        data: file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet
            .arrow, each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input),
            address (web, s3://, gs://, hf://), Hub id, or builtin:NAME (default: 'builtin:torch-
            docs')
        streaming: train on text as it comes, without reading, or downloading, all of it first
            (default: False)
        portion_size: streaming: million characters whose blocks are shuffled together, and that are
            read ahead (default: 16.0)
        split: slice of the data, such as 'train[:5000]'; default: train
        text_field: path to the text in a record, such as answers.text
        context_field: path to a text that comes before it and is not learnt, such as question;
            default: prompt, where records have prompt and completion
        join: what joins a list of texts; default: a space, or a blank line for built-in corpora
        explode: make each text of a list a document of its own (default: False)
        keep_fields: a field to keep beside the text, for figures by group; may be given again
        format: format of every file of --data; default: as its name, or standard input, tells
        encoding: encoding of the text files that are not UTF-8, such as cp1252; default: detected
        txt: what a document is in plain text; default: paragraph in a single .txt file, else file
        test_size: held-out share (below 1) or number of records; default: 0.1, or the data's own
            part
        validation_size: share (below 1) or number of training records set apart to choose the best
            step by; default: 0.05 where --keep best or --early-stopping needs them
        eval_data: data to evaluate on, not split off
        eval_split: slice of the evaluation data
        verify: read local files and token stores again to see that they are as before, though their
            times are (default: False)

    Returns:
        The tokenizer's folder, and the text that it was trained on.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the data cannot be used or the folder is in use.
        KeyboardInterrupt: On Ctrl-C; nothing has been written then.
    """
    ...
