"""PaD (arXiv 2305.13888): programs that were run, and repairs of those that failed."""
