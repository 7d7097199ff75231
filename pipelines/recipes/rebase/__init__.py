"""ReBase (arXiv 2407.05463): rows of other data sets, retrieved and rewritten for a task."""
