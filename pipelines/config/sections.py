"""The sections of a run's configuration that are no recipe's own: questions, engines, sampling, training, evaluation.

Every field has the default of its paper where the paper has one (section in the comment). Secrets are read
from the environment by the library that needs them and never appear here.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.budget import Prices
from raydistill.pipelines.config.endpoint import Endpoint
from raydistill.pipelines.config.shipped import shipped
from raydistill.pipelines.config.students import hosted_student


class Questions(Strict):
    """Where questions come from: ``reasoning_gym:gsm_symbolic``, ``gsm8k``, or a file or hub dataset."""

    task: str = Field(description="reasoning_gym:<name>, stepwise:<name>, table, gsm8k, svamp, bbh, nli, ...")
    path: str | None = Field(
        None, description="local file or folder of data files, or hub dataset id; ${VAR} is expanded"
    )
    split: str = Field("train", description="of a hub data set or of a known one")
    question_column: str = Field("question", description="of a table; dots lead into objects")
    answer_column: str = Field("answer", description="of a table: the gold answers")
    rationale_column: str | None = Field(None, description="of a table: worked solutions, for recipe.source gold")
    keep: tuple[str, ...] = Field((), description="of a table: further columns, for teachers[].only")
    grader: Literal["auto", "numeric", "symbolic", "text", "choice"] = Field(
        "auto", description="how answers are compared; auto looks at the gold answers"
    )
    size: int | None = Field(None, ge=1, description="how many questions (generated, or the first of a file)")
    seed: int = Field(0, description="of generated questions")
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the task's own loader")


def _both(replicas: Any) -> Any:
    """A number of replicas as their least and their most."""
    return (replicas, replicas) if isinstance(replicas, int) else replicas


def _several(paths: Any) -> Any:
    return (paths,) if isinstance(paths, str) else paths


Paths = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""Some paths, or one."""
Replicas = Annotated[tuple[int, int], BeforeValidator(_both)]
"""(min, max), or one number for both."""


class EngineConfig(Strict):
    """A pool of vLLM engines, a model behind a URL (`engine: openai`), or answers recorded earlier (`recorded`)."""

    engine: Literal["vllm", "openai", "recorded"] = Field("vllm", description="who answers")
    model: str = Field(
        description="model directory or hub id, or the folder of a run, for its student; for `openai` its name at the "
        "server; for `recorded` the file (JSON, Parquet, CSV)"
    )
    endpoint: Endpoint | None = Field(None, description="of a model behind a URL")
    recording: Paths = Field((), description="of `recorded`: files or folders of answers of the model at `endpoint`")
    revision: str | None = Field(None, description="commit or branch on the hub")
    adapter: str | None = Field(None, description="LoRA adapter over the model: directory")
    dtype: str = Field("auto", description="of the weights: auto, float32, bfloat16, float16")
    max_model_len: int | None = Field(
        None, ge=16, description="tokens of prompt and answer together; default: the model's own"
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs of one engine")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="share of a GPU's memory that an engine takes")
    max_num_seqs: int = Field(256, ge=1, description="sequences in flight per engine; of a URL the most requests")
    max_lora_rank: int = Field(0, ge=0, description="highest rank of adapters; 0 takes none")
    reasoning_parser: str | None = Field(None, description="vLLM parser that keeps a thinking model's reasoning apart")
    kv_cache_gb: float = Field(4, gt=0, description="memory of the key-value cache where there is no GPU")
    replicas: Replicas = Field((1, 1), description="(min, max) engines; the pool grows and shrinks by load")
    cpus: float = Field(1, gt=0, description="CPUs reserved per engine")
    node_labels: dict[str, str] = Field(default_factory=dict, description="of nodes that may host one")
    health_timeout_s: float = Field(
        120,
        gt=0,
        description="an engine that gives no token in this time is asked again; after three times it is replaced",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="further arguments of vLLM's engine")
    max_error_share: float = Field(
        0.2, ge=0, le=1, description="of a stage's requests: where more fail, it ends with the first reason"
    )
    question_column: str = Field(
        "question", description="of a recorded file: what answers are looked up by; dots lead into objects and lists"
    )
    completion_column: str = Field("completion", description="of a recorded file: the answer, or a list of answers")
    finish_reason_column: str = Field(
        "finish_reason", description="of a recorded file, if it is there: length where the token limit ended the answer"
    )
    prices: Prices | None = Field(None, description="money per million tokens: prompt, generated")

    @model_validator(mode="before")
    @classmethod
    def _of_a_run(cls, settings: Any) -> Any:
        """With the student of a run where `model` names one; an adapter that is told stays what it is."""
        told = settings if isinstance(settings, dict) else {}
        if told.get("engine", "vllm") != "vllm" or not isinstance(told.get("model"), str):
            return settings
        found = hosted_student(told["model"])
        return told | {key: value for key, value in found.items() if key == "model" or not told.get(key)}

    @field_validator("model", "adapter")
    @classmethod
    def _at_home(cls, path: str | None) -> str | None:
        return path and shipped(os.path.expanduser(path))

    @model_validator(mode="after")
    def _range(self) -> EngineConfig:
        if not 1 <= self.replicas[0] <= self.replicas[1]:
            raise ValueError(f"replicas must be [min, max] with 1 <= min <= max, got {list(self.replicas)}")
        return self

    @model_validator(mode="after")
    def _reached(self) -> EngineConfig:
        if self.recording and (self.engine != "recorded" or self.endpoint is None):
            raise ValueError("recording goes with engine recorded and the section endpoint of the model that it is of")
        if (self.endpoint is not None) != (self.engine == "openai" or bool(self.recording)):
            raise ValueError(
                "engine openai and a section endpoint (with base_url) belong together; engine recorded has one with "
                "recording alone"
            )
        if self.endpoint is None:
            return self
        if self.replicas != (1, 1) or self.adapter:
            raise ValueError(
                "a model behind a URL takes no adapter, and replicas stay [1, 1]: one member keeps its limits"
            )
        if self.endpoint.api == "completions" and not self.endpoint.tokenizer:
            raise ValueError("endpoint.api completions needs endpoint.tokenizer, whose chat template renders prompts")
        return self


class SamplingConfig(Strict):
    """How completions are drawn; `temperature` 0 is greedy."""

    n: int = Field(1, ge=1, description="samples per round, question and few-shot context")
    rounds: int = Field(1, ge=1, description="at most; a question gets another round until its recipe has enough")
    contexts_per_round: int | None = Field(None, ge=1, description="asked in turn, round after round; default: all")
    question_tokens: int | None = Field(None, ge=1, description="no further round once a question has cost these")
    temperature: float = Field(1.0, ge=0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="share of the likeliest tokens that are drawn from")
    max_tokens: int = Field(512, ge=1, description="of one answer")
    stop: tuple[str, ...] = Field((), description="texts that end an answer")
    seed: int = Field(0, description="sample i of a question has seed + i")


class Teacher(EngineConfig, SamplingConfig):
    """Sampled at temperature 1 and top-p 1, one completion per question and context (arXiv 2305.13888, section 1.2)."""


class Student(Strict):
    """How the student is hosted and sampled: base, trained student, and the student that is served.

    What is not set is a local teacher's, so that engines can take the student's weights in place; of a teacher that is
    recorded or elsewhere nothing is taken. A teacher's adapter and reasoning parser are its own. Served is a student
    with the dtype and context of its evaluation, and with what else is set here.
    """

    dtype: str | None = Field(None, description="of the weights")
    max_model_len: int | None = Field(None, ge=16, description="tokens of prompt and answer together")
    tensor_parallel_size: int | None = Field(None, ge=1, description="GPUs of one engine")
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="share of a GPU's memory that an engine takes"
    )
    max_num_seqs: int | None = Field(None, ge=1, description="sequences in flight per engine")
    max_lora_rank: int | None = Field(None, ge=0, description="highest rank of adapters; default: that of train.lora")
    reasoning_parser: str | None = Field(
        None, description="vLLM parser that keeps a thinking student's reasoning apart"
    )
    kv_cache_gb: float | None = Field(None, gt=0, description="memory of the key-value cache where there is no GPU")
    replicas: Replicas | None = Field(None, description="(min, max) engines")
    cpus: float | None = Field(None, gt=0, description="CPUs reserved per engine")
    node_labels: dict[str, str] | None = Field(None, description="of nodes that may host one")
    health_timeout_s: float | None = Field(None, gt=0, description="as of the teacher")
    max_error_share: float | None = Field(None, ge=0, le=1, description="of a stage's requests that may fail")
    options: dict[str, Any] | None = Field(None, description="further arguments of vLLM's engine")
    max_tokens: int | None = Field(None, ge=1, description="of what the student writes to learn from")


TEACHERS_OWN = frozenset({"reasoning_parser", "prices"})
"""What a student does not take from its teacher."""


class Execution(Strict):
    """The pool of sandboxed executors and the limits of one program."""

    replicas: Replicas = Field((1, 1), description="(min, max) executors")
    cpus: float = Field(1, gt=0, description="CPUs reserved per executor")
    node_labels: dict[str, str] = Field(default_factory=dict, description="of nodes that may host one")
    cpu_s: int = Field(2, ge=1, description="CPU seconds of one program")
    wall_s: float = Field(8, gt=0, description="wall-clock seconds; a backstop, so that a busy machine fails nobody")
    memory_mb: int = Field(256, ge=16, description="of one program")
    minimum_grade: Literal["A", "B", "B-", "C", "D"] = Field(
        "B-", description="how well a machine must confine programs (docs/sandbox.md)"
    )


LIMITS = ("cpu_s", "wall_s", "memory_mb", "minimum_grade")  # what of `Execution` decides about verdicts


class Lora(Strict):
    rank: int = Field(16, ge=1, description="of the two matrices of each layer")
    alpha: float = Field(32, description="their product counts alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of their inputs that is left out in training")
    target_modules: tuple[str, ...] | str = Field("all-linear", description="names of layers, or all-linear")


class SoftTargeting(Strict):
    """Learning a teacher's distribution at each token of the examples beside the token itself (arXiv 1503.02531).

    The teacher is a local one of the student's tokenizer. `beta` 0 is the forward KL, teacher || student, 1 the
    reverse, between them the generalised Jensen-Shannon divergence (arXiv 2306.13649).
    """

    weight: float = Field(1.0, gt=0, description="of the divergence beside the cross-entropy")
    temperature: float = Field(1.0, gt=0, description="of both distributions")
    top_k: int = Field(16, ge=1, le=64, description="likeliest tokens that are told apart; the others are one")
    beta: float = Field(0.0, ge=0, le=1, description="0: forward KL, 1: reverse, between them Jensen-Shannon")
    teacher: str | None = Field(
        None,
        exclude_if=lambda value: value is None,  # added later: keys of runs without it stay what they were
        description="of several teachers the one that is asked, by its name",
    )


class Train(Strict):
    """Fine-tuning of the student: AdamW, 6e-5 linear decay, no warm-up, early stopping (arXiv 2305.13888, 1.5)."""

    student: str = Field(description="model directory or hub id of the base student")
    revision: str | None = Field(None, description="commit or branch of the student on the hub")
    lora: Lora | None = Field(None, description="train adapters; null trains all weights")
    learning_rate: float = Field(
        6e-5, gt=0, description="the highest; 2e-5 to 1e-4 for pretrained weights, ten times that with LoRA"
    )
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="from the highest rate down to 0")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are cut to this")
    epochs: int = Field(3, ge=1, description="how often each example is seen")
    batch_tokens: int = Field(8192, ge=1, description="tokens of one optimiser step, over all workers")
    micro_batch_tokens: int = Field(
        4096,
        ge=1,
        description="tokens of a worker's forward pass, padding included; an eighth more where that saves a pass",
    )
    max_length: int = Field(1024, ge=8, description="longer examples are dropped, counted and reported")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of matrix products; auto: bfloat16 where the hardware has it, else float32"
    )
    gradient_checkpointing: bool = Field(False, description="less memory for a third more time")
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp", description="ddp: each worker has all weights; fsdp: they are spread"
    )
    workers: int | tuple[int, int] = Field(1, description="number of workers, or (min, max) for elastic training")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs reserved")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs reserved")
    threads_per_worker: int | None = Field(None, ge=1, description="default: its CPUs; all cores for one CPU worker")
    node_labels: dict[str, str] = Field(default_factory=dict, description="of nodes that may host a worker")
    validation_fraction: float = Field(0.05, ge=0, lt=1, description="of the questions; never the test set")
    eval_steps: int = Field(100, ge=1, description="steps between two validations")
    save_steps: int = Field(100, ge=1, description="steps between two checkpoints")
    early_stopping_patience: int | None = Field(
        None, description="validations without a better one that end training; null: none do"
    )
    resource_timeout_s: float = Field(300, gt=0, description="give up waiting for workers after this long")
    soft_targets: SoftTargeting | None = Field(
        None,
        exclude_if=lambda value: value is None,  # added later: keys of runs without them stay what they were
        description="a local teacher's distribution at each token is learned, too",
    )
    seed: int = Field(42, description="of order and dropout")

    @field_validator("student")
    @classmethod
    def _at_home(cls, path: str) -> str:
        return shipped(os.path.expanduser(path))


class Beam(Strict):
    """Beam search over the lines of a program, with or without verification of each (arXiv 2305.13888, section 2.4)."""

    width: int = Field(4, ge=1, description="hypotheses kept after each line (b)")
    candidates: int = Field(4, ge=1, description="next lines per hypothesis: the greedy one and samples")
    temperature: float = Field(1.0, gt=0, description="of the samples")
    max_lines: int = Field(32, ge=1, description="of a program")
    faithfulness: bool = Field(False, description="score each step against the question; false is the plain beam")
    execution: bool = Field(False, description="drop hypotheses whose program so far raises when it is run")
    encoder: str = Field("all-MiniLM-L6-v2", description="sentence-transformers model: name, folder or hub id")

    @property
    def name(self) -> str:
        """As in reports: ``beam 4 + faithfulness``."""
        return " + ".join([f"beam {self.width}", *(n for n in ("faithfulness", "execution") if getattr(self, n))])


class Evaluation(Strict):
    """What is measured on held-out questions, for whom."""

    questions: Questions = Field(description="held out; never trained on")
    models: tuple[Literal["base", "student", "teacher"], ...] = Field(
        ("base", "student", "teacher"), description="who is asked"
    )
    n: int = Field(1, ge=1, description="samples for average, majority and pass@n; 1 means greedy only")
    temperature: float = Field(0.7, ge=0, description="of those n samples; pass@1 greedy is always measured")
    beams: tuple[Beam, ...] = Field((), description="the student is also measured with these beam searches")
    max_tokens: int = Field(512, ge=1, description="of one answer")
    decontamination: Literal["auto", "ngrams", "questions", "off"] = Field(
        "auto",
        description="what of the training is left out for standing in these questions: ngrams (copies, and 13 words in "
        "a row; of tables and files), questions (copies alone; of generated ones), off",
    )

    @field_validator("decontamination", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return "off" if value is False else value  # which is what YAML makes of off
