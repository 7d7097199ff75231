"""The configurations for real models: each is valid on each machine, and fits the GPU that its comment states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raydistill.pipelines.datastore.settings import Datastore, load_settings
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.run_config import Run, load_config
from raydistill.pipelines.tasks import FAMILIES
from tests import ROOT

REAL = ROOT / "configs" / "real"
TASKS = sorted(REAL.glob("*.yaml"))
MACHINES = sorted(REAL.glob("*.args"))
HUB_ID = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*")
SIZE = re.compile(r"-(\d+(?:\.\d+)?)([BM])\b")
FULL, FROZEN = 16, 4  # bytes per parameter in training: weights, gradients and two moments in float32; with LoRA


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # as the files name each other


def overrides(machine: Path) -> list[str]:
    """The settings of a machine, as ``$(grep -v '^#' FILE)`` gives them to a shell."""
    lines = machine.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).split()


def gpu_gb(path: Path) -> int:
    found = re.search(r"^#.*\bGPU of (\d+) GB\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path}: for which GPU?"
    return int(found[1])


def billions(model: str) -> float:
    """The parameters that a model's name states: 0.5 of ``Qwen/Qwen2.5-0.5B-Instruct``, 30 of ``...-30B-A3B``."""
    found = SIZE.search(model)
    assert found, model
    return float(found[1]) / {"B": 1, "M": 1000}[found[2]]


def weights_gb(model: str, dtype: str) -> float:
    """Of an engine; ``auto`` is what the weights are stored in, bfloat16 where the name says nothing else."""
    size = 4 if dtype == "float32" else 1 if model.endswith("-FP8") else 2
    return billions(model) * size


def check(config: Run, gpu: int) -> None:
    assert config.train and config.evaluation
    teacher, train = config.teacher, config.train
    assert HUB_ID.fullmatch(teacher.model) and HUB_ID.fullmatch(train.student)
    usable = teacher.gpu_memory_utilization * gpu
    assert weights_gb(teacher.model, teacher.dtype) / teacher.tensor_parallel_size <= usable
    assert billions(train.student) * (FROZEN if train.lora else FULL) <= usable and train.gpus_per_worker == 1
    assert teacher.max_model_len and teacher.max_tokens < teacher.max_model_len
    assert config.evaluation.questions.task in FAMILIES and config.evaluation.questions.split != "train"


@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_a_task_fits_its_gpu(task: Path) -> None:
    check(load_config(task), gpu_gb(task))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.stem)
@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_a_task_fits_the_gpu_of_each_machine(task: Path, machine: Path) -> None:
    check(load_config(task, overrides(machine)), gpu_gb(machine))


def test_all_tasks_and_machines_are_there() -> None:
    configs = {path.stem: load_config(path) for path in TASKS}
    recipes = {name: config.recipe.recipe for name, config in configs.items()}
    arithmetic = {"gsm8k": "pad", "svamp": "mixed"}
    assert recipes == arithmetic | {"commonsenseqa": "mcc_kd", "squad": "rebase", "mnli": "rebase"}
    assert len({config.run_dir for config in configs.values()}) == len(configs)
    assert {path.stem for path in MACHINES} == {"one-80gb", "thinking-24gb", "cluster"}
    assert {gpu_gb(path) for path in TASKS} == {24}


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "datastores").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_datastores_are_valid(path: Path) -> None:
    load_settings(path, Datastore)


def test_no_row_of_a_tasks_own_data_set_is_used() -> None:
    for task, own in (("squad", "squad"), ("mnli", "mnli")):
        recipe = load_config(REAL / f"{task}.yaml").recipe
        assert isinstance(recipe, ReBase) and recipe.datastore and own in recipe.banned
        assert own in {source.name for source in load_settings(recipe.datastore, Datastore).sources}
