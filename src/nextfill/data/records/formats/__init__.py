"""Formats of files: encodings, compressions, text, tables and documents with a layout."""
