"""The run directory: its files, its logs, and the results read from it."""
