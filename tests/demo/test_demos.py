"""The demos by name: each is a shipped configuration and a target of the Makefile; its teacher is made before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydistill.demo.demos import DEMOS, find_demo
from raydistill.pipelines.config.shipped import configurations
from tests import ROOT


def test_each_demo_is_shipped_and_has_a_target() -> None:
    shipped, makefile = configurations(), (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, demo in DEMOS.items():
        assert demo.configuration in shipped and (demo.teacher is None or demo.teacher in shipped)
        target = "demo" if name == "pad" else f"demo-{name}"
        assert f"\n{target}: $(STAMP)" in makefile


def test_a_teacher_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_demo(None).runs() == [Path("demo")]
    assert find_demo("mentor").runs() == [Path("demo"), Path("demo-mentor")]
    Path("runs/demo/student").mkdir(parents=True)
    assert find_demo("mentor").runs() == [Path("demo-mentor")]
