"""PaD's claims (arXiv 2305.13888)."""
