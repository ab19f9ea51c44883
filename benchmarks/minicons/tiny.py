"""Make the two tiny random models whose scores tests/numerics/minicons.json holds.

    python benchmarks/minicons/tiny.py benchmarks/minicons/sentences.txt tests/numerics/minicons

A RoBERTa with byte-level BPE and a BERT with WordPiece, of 300 entries and 16 dimensions. They lie
beside the scores, because random weights depend on the version of PyTorch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

VOCABULARY = 300
SCALE = 15.0  # so that what a token sees of the others shows in its logits
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 130,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sentences")
    parser.add_argument("out")
    given = parser.parse_args()
    sentences = Path(given.sentences).read_text(encoding="utf-8").splitlines()

    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    for kind, make in {"roberta": byte_level, "bert": wordpiece}.items():
        tokenizer = make(sentences)
        names = ("pad", "bos", "eos") if kind == "roberta" else ("pad",)
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in names}
        config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **SHAPE, **ids)
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(SCALE)
        folder = Path(given.out, kind)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def byte_level(sentences: list[str]) -> Any:
    """Return a tokenizer like RoBERTa's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(sentences, trainer)
    core.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>"}
    names |= {"pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    return _fast(core, names)


def wordpiece(sentences: list[str]) -> Any:
    """Return a tokenizer like BERT's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import WordPieceTrainer

    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    core.train_from_iterator(sentences, trainer)
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _fast(core, names)


def _fast(core: Any, names: dict[str, str]) -> Any:
    from transformers import PreTrainedTokenizerFast

    special = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


if __name__ == "__main__":
    main()
