"""Prefixes of names of models and data that are no paths and no Hub ids."""

BUILTIN = "builtin:"
"""Bundled with Nextfill: ``builtin:base-causal``, ``builtin:torch-docs``."""

SCRATCH = "scratch:"
"""A model of random weights, of the type that follows: ``scratch:llama``."""

LIVE = "live:"
"""An object that a Python program hands over, as it is recorded."""

CAUSAL_BASE = f"{BUILTIN}base-causal"
MASKED_BASE = f"{BUILTIN}base-masked"
