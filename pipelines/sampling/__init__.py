"""Asking a model for many samples, judging and selecting them; streaming, stored, resumed."""
