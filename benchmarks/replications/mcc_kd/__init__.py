"""MCC-KD's claims (arXiv 2310.14747)."""
