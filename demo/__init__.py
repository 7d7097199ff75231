"""Demo models: a small teacher and a base student, trained from scratch by ``python -m demo.make_models``."""
