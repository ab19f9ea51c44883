"""Continuations of texts by a causal model."""
