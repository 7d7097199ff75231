"""Measurements against peers and limits; each prints one line of JSON."""

import sys


def module() -> str:
    """The module that Python was started with: ``benchmarks.synthesis.overlap``, or a folder's, ``benchmarks.gpu``."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else sys.argv[0]


def command() -> str:
    """The command that this process was started with: ``python -m benchmarks.synthesis.overlap --turns 1``."""
    return " ".join(["python", "-m", module(), *sys.argv[1:]])
