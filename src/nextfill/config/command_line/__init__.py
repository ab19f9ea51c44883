"""The words of a command line, mistakes in them, and the same as calls of Python."""
