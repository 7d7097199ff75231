"""ReBase's claims (arXiv 2407.05463)."""
