"""Data of a Python program: columns, frames, records, and streams of them."""
