"""Data that a Python program holds: written down, so that a job reads them like any other file."""
