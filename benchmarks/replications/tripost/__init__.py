"""TriPosT's claims (arXiv 2310.13522)."""
