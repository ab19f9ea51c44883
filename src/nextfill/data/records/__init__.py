"""From `--data` to documents: files, formats, fields, the Hub, data of a Python program."""
