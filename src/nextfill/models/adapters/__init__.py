"""Adapters: their layers, their beginnings, their files, and the layers below them in 4 bits."""
