"""Rows of data sets as vectors, and the lookup of those most like a task (ReBase, arXiv 2407.05463, section 3.1)."""
