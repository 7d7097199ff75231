"""A teacher's weights with noise: the start of a control, a student that has all of its teacher but for its aim."""

from __future__ import annotations

from pathlib import Path

from benchmarks.replications.cells import ROOT

NOISE = 0.3  # of each matrix's deviation; it leaves 40 % of right answers (docs/results/opd.md)


def noised_teacher(work: Path) -> str:
    """The folder of the demo's teacher with noise from one seed, made at the first call."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, folder = ROOT / "demo" / "models" / "teacher", work / "noised-teacher"
    if (folder / "model.safetensors").exists():
        return str(folder)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.add_(torch.randn(weights.shape, generator=generator) * weights.std() * NOISE)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)
