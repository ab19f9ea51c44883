"""The sections of settings and the root config of each command."""
