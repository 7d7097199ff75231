"""A run's student as other tools load it: a whole model, an adapter merged into its base, or the adapter alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri, local_path
from raydistill.pipelines.config.students import adapter_base
from raydistill.pipelines.views.run_folder import RunFolder

TOKENIZER = ("tokenizer*", "chat_template*", "special_tokens_map.json", "generation_config.json", "raydistill.json")


def export_model(run: RunFolder, folder: Path) -> None:
    """The student as a whole model in `folder`: as it is, or its adapter merged into the base in float32."""
    student = _student(run)
    if not (student / "adapter_config.json").is_file():
        shutil.copytree(student, folder, dirs_exist_ok=True)
        return
    from peft import PeftModel

    base: Any = _base(student)
    merged = PeftModel.from_pretrained(base, str(student)).merge_and_unload()  # type: ignore[operator]
    merged.save_pretrained(folder)
    for pattern in TOKENIZER:
        for path in student.glob(pattern):
            shutil.copy(path, folder)
    if not list(folder.glob("tokenizer*")):
        raise UsageError(f"{student}: no tokenizer in it; expected the student of `raydistill run`")


def export_adapter(run: RunFolder, folder: Path) -> None:
    """The student's PEFT adapter in `folder`. Raises UsageError where all weights were trained."""
    student = _student(run)
    if not (student / "adapter_config.json").is_file():
        raise UsageError(
            f"--to adapter: all weights of {student} were trained; expected a run with train.lora, or --to model"
        )
    shutil.copytree(student, folder, dirs_exist_ok=True)


def _student(run: RunFolder) -> Path:
    """The student's folder on this machine."""
    if is_uri(run.root):
        raise UsageError(f"{run.root}: students are exported from folders; copy the run to one first")
    student = Path(run.root, "student")
    if not student.is_dir():
        raise UsageError(f"{run.root}: no student there yet; expected a run that has trained one")
    return student


def _base(student: Path) -> Any:
    """The base of an adapter, in float32, so that merging rounds nothing away."""
    import torch
    from transformers import AutoModelForCausalLM

    base = adapter_base(student)
    assert base  # whoever asks has seen that it is an adapter
    model = local_path(base["model"])
    return AutoModelForCausalLM.from_pretrained(model, revision=base["revision"], dtype=torch.float32)
