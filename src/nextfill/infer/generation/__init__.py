"""Continue texts with a causal model."""
