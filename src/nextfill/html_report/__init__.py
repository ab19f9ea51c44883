"""The report: one page that shows a run, made from the run's files alone."""
