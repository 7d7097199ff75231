"""Configuration: one YAML file per run, ``key.path=value`` overrides, unknown keys rejected.

Every field has the default of its paper where the paper has one (section in the comment). Secrets are read
from the environment by the library that needs them and never appear here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from actors.errors import UsageError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Questions(Strict):
    """Where questions come from: ``reasoning_gym:gsm_symbolic``, ``gsm8k``, or a file or hub dataset."""

    task: str = Field(description="reasoning_gym:<name>, gsm8k, or table (any JSONL/Parquet file or hub dataset)")
    path: str | None = Field(None, description="local .jsonl/.parquet file or hub dataset id; ${VAR} is expanded")
    split: str = "train"
    question_column: str = "question"
    answer_column: str = "answer"
    rationale_column: str | None = Field(None, description="of a table: worked solutions, for recipe.source gold")
    grader: Literal["auto", "numeric", "text", "choice"] = "auto"
    size: int | None = Field(None, ge=1, description="how many questions (generated, or the first of a file)")
    seed: int = 0
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the task's own loader")


class Engine(Strict):
    """A pool of vLLM engines, or answers recorded earlier (`engine: recorded`)."""

    engine: Literal["vllm", "recorded"] = "vllm"
    model: str = Field(description="model directory or hub id; for `recorded` the JSONL/Parquet file")
    revision: str | None = None
    adapter: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = Field(None, ge=16)
    tensor_parallel_size: int = Field(1, ge=1)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    max_num_seqs: int = Field(64, ge=1, description="sequences in flight per engine")
    max_lora_rank: int = Field(0, ge=0, description="highest rank of adapters; 0 takes none")
    reasoning_parser: str | None = Field(None, description="vLLM parser that keeps a thinking model's reasoning apart")
    kv_cache_gb: int = Field(4, ge=1, description="memory of the key-value cache where there is no GPU")
    replicas: tuple[int, int] = Field((1, 1), description="(min, max) engines; the pool grows and shrinks by load")
    cpus: float = Field(1, gt=0, description="CPUs reserved per engine")
    options: dict[str, Any] = Field(default_factory=dict, description="further arguments of vLLM's engine")
    question_column: str = Field("question", description="of a recorded file: what answers are looked up by")
    completion_column: str = Field("completion", description="of a recorded file: the answer")

    @model_validator(mode="after")
    def _range(self) -> Engine:
        if not 1 <= self.replicas[0] <= self.replicas[1]:
            raise ValueError(f"replicas must be [min, max] with 1 <= min <= max, got {list(self.replicas)}")
        return self


class SamplingConfig(Strict):
    """How completions are drawn; `temperature` 0 is greedy."""

    n: int = Field(1, ge=1, description="samples per round, question and few-shot context")
    rounds: int = Field(1, ge=1, description="at most; a question gets another round until its recipe has enough")
    contexts_per_round: int | None = Field(None, ge=1, description="asked in turn, round after round; default: all")
    question_tokens: int | None = Field(None, ge=1, description="no further round once a question has cost these")
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)
    stop: tuple[str, ...] = ()
    seed: int = 0


class Teacher(Engine, SamplingConfig):
    """PaD 1.2: the teacher is sampled at temperature 1, top-p 1, one completion per question and context."""


class Execution(Strict):
    """The pool of sandboxed executors and the limits of one program."""

    replicas: tuple[int, int] = Field((1, 1), description="(min, max) executors")
    cpus: float = Field(1, gt=0, description="CPUs reserved per executor")
    cpu_s: int = Field(2, ge=1, description="CPU seconds of one program")
    wall_s: float = Field(8, gt=0, description="wall-clock seconds; a backstop, so that a busy machine fails nobody")
    memory_mb: int = Field(256, ge=16)
    minimum_grade: Literal["A", "B", "B-", "C", "D"] = "B-"


class Lora(Strict):
    rank: int = Field(16, ge=1)
    alpha: float = 32
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | str = "all-linear"


class Train(Strict):
    """Fine-tuning of the student. PaD 1.5: AdamW, learning rate 6e-5 linear decay, no warm-up, early stopping."""

    student: str = Field(description="model directory or hub id of the base student")
    revision: str | None = None
    lora: Lora | None = None
    learning_rate: float = Field(6e-5, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    epochs: int = Field(3, ge=1)
    batch_tokens: int = Field(8192, ge=1, description="tokens of one optimiser step, over all workers")
    micro_batch_tokens: int = Field(4096, ge=1, description="tokens of one forward pass of one worker")
    max_length: int = Field(1024, ge=8, description="longer examples are dropped, counted and reported")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of matrix products; auto: bfloat16 where the hardware has it, else float32"
    )
    gradient_checkpointing: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"
    workers: int | tuple[int, int] = Field(1, description="number of workers, or (min, max) for elastic training")
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    threads_per_worker: int | None = Field(None, ge=1, description="default: its CPUs; all cores for one CPU worker")
    validation_fraction: float = Field(0.05, ge=0, lt=1, description="of the questions; never the test set")
    eval_steps: int = Field(100, ge=1)
    save_steps: int = Field(100, ge=1)
    early_stopping_patience: int | None = None
    resource_timeout_s: float = Field(300, gt=0, description="give up waiting for workers after this long")
    seed: int = 42


class Beam(Strict):
    """PaD 1.7: beam search over the lines of a program, with or without step-by-step verification."""

    width: int = Field(4, ge=1, description="hypotheses kept after each line (b)")
    candidates: int = Field(4, ge=1, description="next lines per hypothesis: the greedy one and samples")
    temperature: float = Field(1.0, gt=0, description="of the samples")
    max_lines: int = Field(32, ge=1)
    faithfulness: bool = Field(False, description="score each step against the question; false is the plain beam")
    execution: bool = Field(False, description="drop hypotheses whose program so far raises when it is run")
    encoder: str = Field("all-MiniLM-L6-v2", description="sentence-transformers model: name, folder or hub id")

    @property
    def name(self) -> str:
        """As in reports: ``beam 4 + faithfulness``."""
        return " + ".join([f"beam {self.width}", *(n for n in ("faithfulness", "execution") if getattr(self, n))])


class Evaluation(Strict):
    """What is measured on held-out questions, for whom."""

    questions: Questions
    models: tuple[Literal["base", "student", "teacher"], ...] = ("base", "student", "teacher")
    n: int = Field(1, ge=1, description="samples for average, majority and pass@n; 1 means greedy only")
    temperature: float = Field(0.7, ge=0, description="of those n samples; pass@1 greedy is always measured")
    beams: tuple[Beam, ...] = Field((), description="the student is also measured with these beam searches")
    max_tokens: int = Field(512, ge=1)


FaultName = Literal["undefined_name", "use_before_assignment", "syntax", "wrong_type", "index_out_of_range"]


class Refine(Strict):
    """PaD 1.6: the student also learns to repair programs, those with injected faults and its own failing ones."""

    faults: tuple[FaultName, ...] = Field(get_args(FaultName), min_length=1, description="kinds that are injected")
    faults_per_program: int = Field(1, ge=0, description="kinds drawn per verified program; the paper has 3")
    own_samples: int = Field(0, ge=0, description="of a first student, per training question, to learn from failures")
    own_temperature: float = Field(1.0, ge=0)
    max_own: int = Field(2, ge=1, description="own failing programs learned from, per question")
    repairs: int = Field(1, ge=0, description="at most, of a program that fails to run, in evaluation and service")
    seed: int = 0

    @model_validator(mode="after")
    def _kinds(self) -> Refine:
        if self.faults_per_program > len(set(self.faults)):
            raise ValueError(f"faults_per_program is above the {len(set(self.faults))} kinds in faults")
        return self


class PaD(Strict):
    """Program-aided distillation (arXiv 2305.13888) and its baselines.

    `target: rationale` is chain of thought, from the teacher or (`source: gold`) from the data set's own worked
    solutions; `target: answer` with `source: gold` is fine-tuning on the bare labels.
    """

    recipe: Literal["pad"] = "pad"
    target: Literal["program", "rationale", "answer"] = "program"
    source: Literal["teacher", "gold"] = Field("teacher", description="gold: learn the data set's own solutions")
    prompt: str = Field("instruct", description="instruct (chat models), or few_shot (for large teachers)")
    contexts: tuple[str, ...] = Field((), description="each question is asked once per context (PaD 1.2), not `prompt`")
    shots: int = Field(4, ge=0, le=4, description="demonstrations of a context that are shown")
    max_programs: int = Field(4, ge=1, description="distinct verified programs kept per question (m)")
    filter: bool = Field(True, description="false keeps what the teacher wrote, verified or not (the ablation)")
    refine: Refine | None = Field(None, description="train on repairing programs as a second task")

    @model_validator(mode="after")
    def _source_has_target(self) -> PaD:
        if self.source == "teacher" and self.target == "answer":
            raise ValueError("target answer is learned from labels: set source to gold")
        if self.source == "gold" and self.target == "program":
            raise ValueError("data sets have no gold programs: give yours as a recorded teacher (teacher.engine)")
        return self

    @model_validator(mode="after")
    def _repairs_programs(self) -> PaD:
        if self.refine and not (self.filter and self.target == "program"):
            raise ValueError("refine needs verified programs: target program, filter true")
        return self


class MccKD(Strict):
    """MCC-KD (arXiv 2310.14747): several diverse right rationales per question, answers drawn together in pairs."""

    recipe: Literal["mcc_kd"] = "mcc_kd"
    prompt: str = Field("instruct", description="instruct (chat models), or few_shot (for large teachers)")
    rationales: int = Field(4, ge=1, description="distinct right rationales kept per question (K); 1 trains no pairs")
    select: Literal["diverse", "random", "similar"] = Field("diverse", description="random, similar: the controls")
    ngram: int = Field(2, ge=1, description="words of an n-gram; rationales are compared as sets of them (Jaccard)")
    near_duplicate: float = Field(0.8, gt=0, description="similarity from which a rationale counts as another again")
    alpha: float = Field(0.1, ge=0, description="weight of the KL between two rationales' answers; 0 pairs without it")
    temperature: float = Field(1.0, gt=0, description="of the answer distributions that are compared")
    filter: bool = Field(True, description="false keeps rationales with a wrong answer too (the ablation)")
    seed: int = Field(0, description="of `select: random`")


def _recipe_of(settings: Any) -> Any:
    """The name of the recipe that `settings` are for; PaD's where they name none."""
    return settings.get("recipe", "pad") if isinstance(settings, dict) else getattr(settings, "recipe", None)


AnyRecipe = Annotated[Annotated[PaD, Tag("pad")] | Annotated[MccKD, Tag("mcc_kd")], Discriminator(_recipe_of)]


class Run(Strict):
    """A whole run: questions, teacher, execution, recipe, training, evaluation."""

    run_dir: str = Field("runs/default", description="folder or URI that every node reaches")
    cpus: int | None = Field(None, ge=1, description="logical CPUs of a Ray started here (default: at least 4)")
    questions: Questions
    teacher: Teacher
    execution: Execution = Execution()
    recipe: AnyRecipe = PaD()
    train: Train | None = None
    evaluation: Evaluation | None = None


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read a run's YAML file and apply ``key.path=value`` overrides (values are YAML).

    Raises UsageError with one line per problem: missing file, YAML error with its position, unknown key, bad value.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration file (shipped ones are in configs/)") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values, got {type(data).__name__}")
    for override in overrides:
        _apply(data, override)
    try:
        return Run.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{path}: " + "; ".join(map(_describe, error.errors()))) from None


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(f"override {override!r}: expected key.path=value, for example teacher.temperature=0.7")
    *parents, leaf = key.split(".")
    node = data
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UsageError(f"override {override!r}: {parent} is not a group of settings")
    node[leaf] = yaml.safe_load(value)


def _describe(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    return f"{where}: {error['msg']}" + ("" if error["type"] == "missing" else f" (got {error['input']!r})")
