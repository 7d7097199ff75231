"""Rows of data sets as vectors, and the lookup of those most like a task (arXiv 2407.05463, section 3.1)."""
