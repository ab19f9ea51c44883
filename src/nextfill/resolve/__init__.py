"""Which settings hold: what is given over a recipe, over a run's own, over the quickstart's."""
