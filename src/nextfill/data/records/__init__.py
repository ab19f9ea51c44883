"""From `--data` to documents: files, formats, fields, the Hub, and what a Python program holds."""
