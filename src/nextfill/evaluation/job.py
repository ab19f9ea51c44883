"""An evaluation job: one model beside its base, or several models on the same documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nextfill.config import EvaluateConfig, ModelConfig, Objective, PseudoMetric, Scope
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.problems.training_problems import mask_problems, unusual_masks
from nextfill.config.resolve import refuse
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError, ModelError
from nextfill.core.output_file import check_new_file
from nextfill.core.progress import Progress
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.evaluation.baseline import base_of, covers, hold_like, recorded_baseline
from nextfill.evaluation.batch_division import WHOLE, BatchDivision
from nextfill.evaluation.comparison import (
    Comparison,
    check_comparable,
    compare_groups,
    compare_models,
)
from nextfill.evaluation.document_file import write_comparison
from nextfill.evaluation.documents import EvaluationData
from nextfill.evaluation.figures import BaseEvaluation, Evaluation
from nextfill.evaluation.metrics import summarize_part
from nextfill.evaluation.rows import check_windows
from nextfill.evaluation.scorer import Scorer
from nextfill.evaluation.scorer_findings import findings_of
from nextfill.evaluation.scores import ScoredModel
from nextfill.evaluation.token_view import ScoredText, choose_documents
from nextfill.models.allocator import ask_for_large_pages, tune_allocator
from nextfill.models.computation import pick_device, pick_precision
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.folder.location import lineage
from nextfill.models.folder.weights import read_outline
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel, check_vocabulary, fitting_block_size
from nextfill.models.step import StepModule, row_problem
from nextfill.models.tokenizer import load_tokenizer, mask_id_of


def evaluate_model(
    config: EvaluateConfig,
    *,
    scope: Scope,
    on_progress: Progress,
    on_note: Callable[[str], None] = lambda text: None,
    live: Live = NOTHING_LIVE,
    division: BatchDivision = WHOLE,
) -> Evaluation:
    """Score documents with a model, and with its base if there is one."""
    out = _new_file(config, division)
    data = EvaluationData(config, (), scope, on_progress, on_note, division=division)
    recorded = recorded_baseline(config, scope)
    base = base_of(config.model) if config.base and live.model is None else None
    baseline = None
    if base is not None and recorded is None:
        # Whatever is wrong with it is told of it by its name, and not after hours on the base.
        own = outline_model(config.model, config.objective, live=live)
        _pseudo_metric(config, own)
        fitting_block_size(config.blocks.block_size, own)
        baseline = _score_base(data, base, live)
    scorer = _open_scorer(data, load_model(config.model, config.objective, live=live))
    scored = scorer.score(out)
    if base is not None and recorded is not None:
        scores, tokens = recorded
        if covers(scores, scored.scores):
            baseline = replace(scored, name=base.name, scores=scores, tokens=tokens)
        else:
            baseline = _score_base(data, base, live)
    evaluation = summarize_part(
        scored.scores,
        scorer.part.store,
        by=config.evaluation.by,
        objective=scored.objective,
        pseudo_metric=scored.pseudo_metric,
    )
    if baseline is not None and _masks_others(baseline, scored):
        on_note(
            f"{baseline.name}, which it was made from, has other tokens, so that other ones are "
            "masked, and is not beside it: --pseudo compares them"
        )
        baseline = None
    if baseline is not None:
        both = compare_models([baseline, scored])
        name, figures = next(iter(both.evaluations.items()))
        evaluation = replace(evaluation, base=BaseEvaluation(name, figures, both.differences[0]))
    leaks = data.leaks.get(config.model.name)
    return replace(
        evaluation,
        settings=scorer.settings,
        left_out=scorer.left_out(scored.scores),
        leaks=None if leaks is None else leaks.to_json(),
        texts=_texts(config, scorer, scored, baseline),
    )


def evaluate_models(
    config: EvaluateConfig,
    others: Sequence[str],
    *,
    scope: Scope,
    on_progress: Progress,
    on_note: Callable[[str], None] = lambda text: None,
    live: Live = NOTHING_LIVE,
    division: BatchDivision = WHOLE,
) -> Comparison:
    """Score documents with several models, and compare them document by document."""
    out = _new_file(config, division)
    alike = replace(config.model, tokenizer=None, revision=None)
    models = [(config.model, live)]
    models += [(replace(alike, name=name), NOTHING_LIVE) for name in others]
    config = _with_common_windows(config, models, on_note)
    data = EvaluationData(config, others, scope, on_progress, on_note, division=division)
    scored: list[ScoredModel] = []
    for one, live_one in models[:-1]:
        keep_tokens = config.show > 0 and not scored  # the last model is shown beside the first
        scored.append(_score_and_release(data, one, live_one, keep_tokens=keep_tokens))
    last, live_last = models[-1]
    scorer = _open_scorer(data, load_model(last, config.objective, live=live_last))
    scored.append(scorer.score())
    if out is not None:
        write_comparison(out, scorer.part.store, scored)
        on_note(f"written: {out}")
    by = config.evaluation.by
    return replace(
        compare_models(scored),
        settings=scorer.settings,
        leaks={name: leaks.to_json() for name, leaks in data.leaks.items()},
        texts=_texts(config, scorer, scored[-1], scored[0]),
        groups=None if by is None else compare_groups(scored, scorer.part.store, by),
    )


def _masks_others(first: ScoredModel, second: ScoredModel) -> bool:
    """Return whether two masked models of different tokens fill in different blanks."""
    by_masks = second.objective == "masked" and second.pseudo_metric is None
    return by_masks and first.tokenizer != second.tokenizer


def _open_scorer(data: EvaluationData, loaded: LoadedModel) -> Scorer:
    """Check the settings against a model, tokenize the documents for it, move it to a device."""
    config = data.config
    for note in loaded.notes:
        data.on_note(note)
    tune_allocator()
    device = pick_device(config.device, loaded.model if loaded.name.startswith(LIVE) else None)
    block_size = fitting_block_size(config.blocks.block_size, loaded)
    check_windows(config.evaluation, block_size, loaded.objective)
    refuse(mask_problems(loaded.objective, unusual_masks(config), loaded.name))
    metric = _pseudo_metric(config, loaded)
    part = data.tokenized_for(loaded)
    ask_for_large_pages()  # anew: what prepares data has given the heap back
    loaded.model.to(device)
    precision = pick_precision(config.precision, device)
    isolation = padding_isolation(loaded.model, loaded.objective, longest=block_size)
    module = StepModule(loaded.model, isolation)
    problem = row_problem(module, precision, block_size)
    if problem is not None:
        raise ModelError(
            f"{loaded.name} cannot score a row of {block_size} tokens in {precision}: "
            f"{problem}. Give another --block-size or --precision, or another model."
        )
    scorer = Scorer(
        config=config,
        loaded=loaded,
        part=part,
        module=module,
        block_size=block_size,
        precision=precision,
        pseudo_metric=metric,
        on_progress=data.on_progress,
        on_note=data.on_note,
        division=data.division,
    )
    data.division.check(lambda: findings_of(scorer))
    return scorer


def _new_file(config: EvaluateConfig, division: BatchDivision) -> Path | None:
    """Return the path of the file of documents, refusing one that cannot be written."""
    if config.out is None:
        return None
    return check_new_file(config.out, is_only_writer=division.world > 1)


def _pseudo_metric(config: EvaluateConfig, loaded: LoadedModel) -> PseudoMetric | None:
    """Return the metric of ``--pseudo``, refusing a causal model; None without the flag."""
    if not config.pseudo:
        return None
    if loaded.objective == "causal":
        raise ConfigError(
            [f"{loaded.name}: a causal model's log-likelihood is exact: leave --pseudo out."]
        )
    mask_id_of(loaded.tokenizer, loaded.name)  # refuses a tokenizer without one
    return config.pseudo_metric


def _score_and_release(
    data: EvaluationData,
    model: ModelConfig,
    live: Live,
    *,
    keep_tokens: bool,
    base_of: ModelConfig | None = None,
) -> ScoredModel:
    """Load a model and score the documents with it; its memory is free afterwards."""
    loaded = load_model(model, data.config.objective, live=live)
    if base_of is not None:
        loaded = hold_like(loaded, base_of)
    return _open_scorer(data, loaded).score(keep_tokens=keep_tokens)


def _score_base(data: EvaluationData, base: ModelConfig, live: Live) -> ScoredModel | None:
    """Score the documents with a model's base; None, with a note, if it cannot be used.

    One whose tokenizer was a live one takes the one that is handed over now.
    """
    had_live = (base.tokenizer or "").startswith(LIVE)
    try:
        base = replace(base, attn_implementation=data.config.model.attn_implementation)
        return _score_and_release(
            data,
            base,
            live if had_live else NOTHING_LIVE,
            keep_tokens=data.config.show > 0,
            base_of=data.config.model,
        )
    except ModelError as error:
        data.on_note(f"the model it was made from is not beside it (--no-base): {error}")
        return None


def _with_common_windows(
    config: EvaluateConfig,
    models: Sequence[tuple[ModelConfig, Live]],
    on_note: Callable[[str], None],
) -> EvaluateConfig:
    """Return the settings with windows that fit into every model.

    More context makes a token easier to predict, so that all models get the same.
    """
    described, sizes = [], []
    for one, live in models:
        loaded = outline_model(one, config.objective, live=live)
        described.append((loaded.name, loaded.objective, fingerprint_of(loaded.tokenizer)))
        sizes.append(fitting_block_size(config.blocks.block_size, loaded))
    check_comparable(described, pseudo=config.pseudo)
    if min(sizes) != max(sizes):
        on_note(
            f"all in windows of {min(sizes)} tokens, as one of the models has no more positions"
        )
    return replace(config, blocks=replace(config.blocks, block_size=min(sizes)))


def outline_model(
    config: ModelConfig, objective: Objective | None = None, *, live: Live = NOTHING_LIVE
) -> LoadedModel:
    """Return a model of the right shape without weights, before others are scored for hours.

    A live or random model, and one that only its own code can make, has weights.
    """
    if live.model is not None or config.name.startswith(SCRATCH):
        return load_model(config, objective, live=live)
    tokenizer = load_tokenizer(config, live)
    first, *others = lineage(config.name, config.revision)
    whole = (others or [first])[-1]  # an adapter changes no size
    outline = read_outline(
        whole.folder, config.name, objective=objective, trust_remote_code=config.trust_remote_code
    )
    if outline.model is None:  # only its own code can make it
        return load_model(config, objective, live=live)
    loaded = LoadedModel(outline.model, tokenizer, config.name, outline.objective, first.revision)
    check_vocabulary(loaded)
    return loaded


def _texts(
    config: EvaluateConfig, scorer: Scorer, scored: ScoredModel, other: ScoredModel | None
) -> list[ScoredText] | None:
    """Return documents token by token, beside another model's; None without ``--show``."""
    if not config.show:
        return None
    same_tokens = other is not None and other.tokenizer == scored.tokenizer
    reasons = choose_documents(scored.scores, other.scores if other else None, config.show)
    texts = scorer.read(sorted(reasons), other.tokens if other and same_tokens else None)
    by_number = dict(zip(sorted(reasons), texts, strict=True))
    return [replace(by_number[number], why=why) for number, why in reasons.items()]
