"""Train a model in a plain PyTorch loop for a given time, as a yardstick for Nextfill's.

Nothing of Nextfill is used. The loop has what people who write one have: blocks in a fresh order
each epoch, fused AdamW, warm-up and a cosine over the time it is given, clipping, and bfloat16
where the hardware has it. The model and its hyperparameters come from a recipe.

    python benchmarks/plain_loop.py RECIPE.toml TRAIN.txt TOKENIZER OUT --seconds 360 --seed 0
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from pathlib import Path


def main() -> None:
    began_s = time.monotonic()
    parser = argparse.ArgumentParser()
    for name in ("recipe", "text", "tokenizer", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    recipe = tomllib.loads(Path(given.recipe).read_text(encoding="utf-8"))
    training, block = recipe["training"], recipe["blocks"]["block_size"]
    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
    kind = recipe["model"]["name"].partition(":")[2]
    special = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}
    shape = {**recipe["model"]["config"], **special, "vocab_size": len(tokenizer)}
    torch.manual_seed(given.seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).train()
    text = Path(given.text).read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    blocks = ids[: len(ids) // block * block].view(-1, block)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=training["learning_rate"],
        betas=(0.9, training["beta2"]),
        weight_decay=training["weight_decay"],
        fused=True,
    )
    order: list[int] = []
    steps = 0
    loop_began_s = time.monotonic()
    left_s = given.seconds - (loop_began_s - began_s) - 2.0  # to save the model
    while (share := (time.monotonic() - loop_began_s) / left_s) < 1:
        if len(order) < training["batch_size"]:
            order = torch.randperm(len(blocks)).tolist()
        batch = blocks[[order.pop() for _ in range(training["batch_size"])]]
        warm = min(1.0, share / training["warmup_steps"])
        rate = training["learning_rate"] * warm * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
    model.save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)
    tokens = steps * training["batch_size"] * block
    elapsed_s = time.monotonic() - began_s
    print(json.dumps({"steps": steps, "tokens": tokens, "elapsed_s": elapsed_s}))


if __name__ == "__main__":
    main()
