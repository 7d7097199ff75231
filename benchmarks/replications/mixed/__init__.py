"""Mixed Distillation (arXiv 2312.10730) on the demo models."""
