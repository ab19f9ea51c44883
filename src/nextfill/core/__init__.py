"""Errors, paths, files, locks and signals for every other room; no PyTorch, no transformers."""
