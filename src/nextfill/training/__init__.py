"""Training: one loop, its optimizer and schedule, checkpoints, samples and evaluations."""
