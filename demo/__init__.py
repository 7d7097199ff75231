"""Demo models: a small teacher and a base student, made from nothing by ``python -m raydistill.demo.make_models``."""
