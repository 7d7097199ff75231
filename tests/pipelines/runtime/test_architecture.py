"""Which models may take each other's place in a running engine, which keeps its tokenizer and chat template."""

from __future__ import annotations

import shutil
from pathlib import Path

from raydistill.pipelines.runtime.engines import architecture
from tests import ROOT

MODEL = ROOT / "demo/models/base-student"


def copy(folder: Path, name: str, template: str | None) -> str:
    made = folder / name
    made.mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / file, made / file)
    if template is not None:
        (made / "chat_template.jinja").write_text(template, encoding="utf-8")
    return str(made)


def test_another_chat_template_is_another_engine(tmp_path: Path) -> None:
    own = (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
    same, plain = copy(tmp_path, "same", own), copy(tmp_path, "plain", "{{ messages }}")
    none = copy(tmp_path, "none", None)
    assert architecture(same) == architecture(str(MODEL)) is not None
    assert len({architecture(model) for model in (same, plain, none)}) == 3
    assert architecture(str(tmp_path)) is None
