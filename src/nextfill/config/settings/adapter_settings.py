"""Settings of adapters.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from nextfill.config.bounds import Ge, Gt, Lt
from nextfill.config.options import Section, option

LoraScaling = Literal["plain", "rank-stabilised"]
LoraInit = Literal["zero", "pissa", "olora", "eva"]
LoraQuantization = Literal["none", "nf4"]


@dataclass(frozen=True, kw_only=True, repr=False)
class LoraConfig(Section):
    """Training an adapter instead of all weights."""

    rank: Annotated[int, Ge(1)] | None = option(
        None,
        "train adapters of this rank (LoRA) and leave the model's own weights as they are",
        flag="--lora-rank",
    )
    alpha: Annotated[float, Gt(0)] | None = option(
        None,
        "the adapter's scale is alpha / rank; default: twice the rank, 8 if rank-stabilised",
        flag="--lora-alpha",
    )
    scaling: LoraScaling = option(
        "plain",
        "alpha / rank, or rank-stabilised (rsLoRA): alpha / the rank's square root",
        flag="--lora-scaling",
    )
    dora: bool = option(
        False,
        "also train the length of each row of the adapted weights (DoRA)",
        flag="--lora-dora",
    )
    init: LoraInit = option(
        "zero",
        "what the adapter begins as: zero, no change; pissa, the main directions of each weight; "
        "olora, the first rows and columns of its QR factors; eva, no change, and the main "
        "directions of each layer's inputs",
        flag="--lora-init",
    )
    quantization: LoraQuantization = option(
        "none",
        "hold the linear layers that get the adapter in 4 bits (QLoRA): nf4; needs bitsandbytes",
        flag="--lora-quantization",
    )
    dropout: Annotated[float, Ge(0), Lt(1)] = option(
        0.0, "dropout before the adapter", flag="--lora-dropout"
    )
    targets: str | None = option(
        None,
        "names of the layers, such as q_proj,v_proj; default: every linear layer but the head, "
        "and the experts",
        flag="--lora-targets",
    )
    head: bool = option(
        False,
        "adapt the head, too, the projection onto the vocabulary: the most gain per parameter of a "
        "small model",
        flag="--lora-head",
    )
    norms: bool = option(
        False,
        "train the norms, too, whole: few parameters, and a few points of the gain",
        flag="--lora-norms",
    )
    merge: bool = option(False, "save the model with its adapter merged in", flag="--lora-merge")
