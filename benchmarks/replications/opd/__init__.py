"""On-policy distillation (arXiv 2306.13649), with programs that are run, on the demo models."""
