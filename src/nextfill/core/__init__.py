"""Errors, paths, files, locks and signals for every other room; no PyTorch, no transformers."""

VERSION = "0.1.0"
