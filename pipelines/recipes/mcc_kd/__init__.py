"""MCC-KD (arXiv 2310.14747): diverse rationales, consistent answers."""
