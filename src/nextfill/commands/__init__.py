"""The commands, one file a verb: each parses nothing, calls the API and shows the result."""
