"""The command line: parse, make one call, show the result."""
