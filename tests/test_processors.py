"""The numerical tests under the kernels that OpenBLAS, PyTorch and oneDNN take on other processors."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernels named here are of x86-64"),
]

OF_NUMPY = (  # what computes with numpy, and so with OpenBLAS
    "tests/actors/retrieval/test_retriever.py",
    "tests/benchmarks/test_text_diversity.py",
    "tests/pipelines/datastore/test_datastore.py::test_build_add_search_and_stats_on_the_command_line",
)
OF_TORCH = (  # the train loop's tests have both of `train.precision`
    "tests/pipelines/training/losses/test_cross_entropy.py",
    "tests/pipelines/training/losses/test_consistency.py",
    "tests/pipelines/training/losses/test_terms.py",
    "tests/pipelines/recipes/mcc_kd/test_consistency.py",
    "tests/pipelines/training/test_loop.py",
    "tests/pipelines/inference/test_beam.py::test_faithfulness_is_the_best_cosine_of_a_line_with_a_sentence",
    "tests/actors/retrieval/test_retriever.py",  # whose vectors PyTorch computes
)
USE_NUMPY = "import numpy; a = numpy.ones((64, 64), numpy.float32); print((a @ a)[0, 0], (a @ a[0])[0])"
USE_TORCH = (
    "import torch; print(torch.backends.cpu.get_cpu_capability()); torch.ones(64, 64).matmul(torch.ones(64, 64))"
)
CHOICES = ("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def run(arguments: list[str], chosen: dict[str, str]) -> tuple[int, str]:
    """A Python with these kernels and no others that were chosen before: its exit status, and what it has said."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES} | chosen
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.returncode, done.stdout


def check(tests: tuple[str, ...], chosen: dict[str, str], use: str, loaded: str) -> None:
    """Skip where the processor lacks the instructions; fail unless these kernels are loaded and the tests pass."""
    status, said = run(["-c", use], chosen | {"OPENBLAS_VERBOSE": "2"})
    if status == -signal.SIGILL:
        pytest.skip(f"this processor cannot run the kernels of {chosen}")
    assert status == 0 and loaded in said.splitlines(), said
    status, said = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], chosen)
    assert status == 0, said[-5000:]


@pytest.mark.parametrize("core", ["Nehalem", "Sandybridge", "Haswell", "SkylakeX"])
def test_numbers_with_the_kernels_of_openblas(core: str) -> None:
    check(OF_NUMPY, {"OPENBLAS_CORETYPE": core}, USE_NUMPY, f"Core: {core}")


@pytest.mark.parametrize(
    ("capability", "isa", "mkl"),
    [("default", "SSE41", "SSE4_2"), ("avx2", "AVX2", "AVX2"), ("avx512", "AVX512_CORE", "AVX512")],
)
def test_numbers_with_the_kernels_of_pytorch(capability: str, isa: str, mkl: str) -> None:
    if capability == "avx512" and "avx512vl" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    chosen = {"ATEN_CPU_CAPABILITY": capability, "ONEDNN_MAX_CPU_ISA": isa, "MKL_ENABLE_INSTRUCTIONS": mkl}
    check(OF_TORCH, chosen, USE_TORCH, capability.upper())
