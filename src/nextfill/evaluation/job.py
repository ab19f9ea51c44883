"""An evaluation from start to end: of one model beside its base, or of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nextfill.config import EvaluateConfig, ModelConfig, Objective, Scope
from nextfill.config.model_settings import NOTHING_LIVE, Live
from nextfill.data.preparation import Progress
from nextfill.evaluation.baseline import base_of_run, baseline_evaluation, fits
from nextfill.evaluation.comparison import Comparison, ScoredModel, check_comparable, compare_models
from nextfill.evaluation.document_choice import choose_documents
from nextfill.evaluation.document_file import write_compared
from nextfill.evaluation.documents import EvaluatedDocuments
from nextfill.evaluation.figures import Beside, Evaluation
from nextfill.evaluation.metrics import summarize_part
from nextfill.evaluation.model_scores import Scoring, ScoringJob, described
from nextfill.evaluation.read_text import ReadText
from nextfill.evaluation.scores import TokenScores
from nextfill.filling.output_file import check_new_file
from nextfill.models.load import check_vocabulary, fitting_block_size, load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.lora import lineage
from nextfill.models.tokenizer import SCRATCH, load_tokenizer
from nextfill.models.weights import read_outline


def outline_model(
    config: ModelConfig, objective: Objective | None = None, *, live: Live = NOTHING_LIVE
) -> LoadedModel:
    """Get a model's shape, objective and tokenizer; only one that needs it has weights read."""
    if live.model is not None or config.name.startswith(SCRATCH):
        return load_model(config, objective, live=live)
    tokenizer = load_tokenizer(config, live)
    first, *others = lineage(config.name, config.revision)
    whole = (others or [first])[-1]  # an adapter changes no size that is asked for
    read = read_outline(  # before others are scored for hours
        whole.folder, config.name, objective=objective, trust_remote_code=config.trust_remote_code
    )
    if read.model is None:  # only its own code can make it
        return load_model(config, objective, live=live)
    loaded = LoadedModel(read.model, tokenizer, config.name, read.objective, first.revision)
    check_vocabulary(loaded)
    return loaded


def evaluate_model(
    config: EvaluateConfig,
    *,
    scope: Scope,
    on_progress: Progress,
    on_note: Callable[[str], None] = lambda text: None,
    live: Live = NOTHING_LIVE,
) -> Evaluation:
    """Score documents with a model, and with the one that it was made from."""
    out = None if config.out is None else check_new_file(config.out)
    documents = EvaluatedDocuments(config, (), scope, on_progress, on_note)
    job = ScoringJob(config, documents, on_progress, on_note)
    beside = None
    known = baseline_evaluation(config, scope)
    base = base_of_run(config.model) if config.base and live.model is None else None
    if base is not None and known is None:
        beside = job.score_base(base)
    scoring = job.score(load_model(config.model, config.objective, live=live), out)
    scored = scoring.scored
    if base is not None and known is not None:
        if fits(known[0], scored.scores):
            beside = replace(scored, name=base.name, scores=known[0]), known[1]
        else:
            beside = job.score_base(base)
    evaluation = summarize_part(
        scored.scores,
        scoring.placed.part.store,
        by=config.evaluation.by,
        objective=scored.objective,
        pseudo_metric=scored.pseudo_metric,
    )
    if beside is not None:
        both = compare_models([beside[0], scored])
        name, its = next(iter(both.evaluations.items()))
        evaluation = replace(evaluation, base=Beside(name, its, both.differences[0]))
    leaks = documents.leaks.get(config.model.name)
    other, tokens = beside or (None, None)
    return replace(
        evaluation,
        settings=scoring.placed.settings,
        left_out=scoring.left_out,
        leaks=None if leaks is None else leaks.to_json(),
        texts=_texts(config, scoring, other, tokens),
    )


def evaluate_models(
    config: EvaluateConfig,
    others: Sequence[str],
    *,
    scope: Scope,
    on_progress: Progress,
    on_note: Callable[[str], None] = lambda text: None,
    live: Live = NOTHING_LIVE,
) -> Comparison:
    """Score documents with several models, and compare them document by document."""
    out = None if config.out is None else check_new_file(config.out)
    documents = EvaluatedDocuments(config, others, scope, on_progress, on_note)
    models = [(config.model, live), *((_other(config.model, one), NOTHING_LIVE) for one in others)]
    config = _in_windows_of_all(config, models, on_note)
    job = ScoringJob(config, documents, on_progress, on_note)
    scored: list[ScoredModel] = []
    first_tokens: TokenScores | None = None
    *earlier, (newest, its_hand) = models
    for one, hand in earlier:
        keep_tokens = config.show > 0 and not scored
        figures, tokens = job.score_and_leave(one, hand, keep_tokens=keep_tokens)
        scored.append(figures)
        first_tokens = first_tokens or tokens
    last = job.score(load_model(newest, config.objective, live=its_hand))
    scored.append(last.scored)
    if out is not None:
        write_compared(out, last.placed.part.store, scored)
        on_note(f"written: {out}")
    return replace(
        compare_models(scored),
        settings=last.placed.settings,
        leaks={name: leaks.to_json() for name, leaks in documents.leaks.items()},
        texts=_texts(config, last, scored[0], first_tokens),
    )


def _in_windows_of_all(
    config: EvaluateConfig,
    models: Sequence[tuple[ModelConfig, Live]],
    on_note: Callable[[str], None],
) -> EvaluateConfig:
    """Return the config with windows that fit into every model.

    Who sees more before a token predicts it better: all see the same.
    """
    found = []
    for one, hand in models:
        outline = outline_model(one, config.objective, live=hand)
        found.append((described(outline), fitting_block_size(config.blocks.block_size, outline)))
    check_comparable([model for model, _ in found], pseudo=config.pseudo)
    block_size = min(size for _, size in found)
    if any(size != block_size for _, size in found):
        on_note(
            f"all in windows of {block_size} tokens, as one of the models has no more positions"
        )
    return replace(config, blocks=replace(config.blocks, block_size=block_size))


def _other(first: ModelConfig, name: str) -> ModelConfig:
    return ModelConfig(name=name, trust_remote_code=first.trust_remote_code)


def _texts(
    config: EvaluateConfig,
    scoring: Scoring,
    other: ScoredModel | None,
    other_tokens: TokenScores | None,
) -> list[ReadText] | None:
    """Return what is shown of the documents token by token; None where nothing is asked for."""
    if not config.show:
        return None
    same = other is not None and other.tokenizer == scoring.scored.tokenizer
    chosen = choose_documents(scoring.scored.scores, other.scores if other else None, config.show)
    texts = scoring.placed.read(sorted(chosen), config, other_tokens if same else None)
    by_number = dict(zip(sorted(chosen), texts, strict=True))
    return [replace(by_number[number], why=why) for number, why in chosen.items()]
