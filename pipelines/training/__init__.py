"""The trainer, which knows no recipe: examples with token weights in, a student out (Ray Train)."""
