"""Preparation by many processes: parts of a source read and encoded anywhere, one writer."""
