"""The names and settings of other programs, each answered with ours or with a reason."""
