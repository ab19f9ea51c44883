"""Tokenizers: learnt from a person's own text, and looked at on it."""
