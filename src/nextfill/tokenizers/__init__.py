"""Tokenizers: training on a person's own text, and inspection on it."""
