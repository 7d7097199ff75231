"""The student model: loading it (fully or with a LoRA adapter), spreading it over workers, exporting it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Train

if TYPE_CHECKING:
    from torch import nn


def vocabulary_size(student: str, revision: str | None) -> int:
    """Entries of the model's vocabulary. Raises UsageError if `student` is no model directory or hub id."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(student, revision=revision).get_text_config().vocab_size
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"student {student}: not a model that can be loaded: {reason}") from None


def load_student(config: Train, folder: str | None, stop_id: int, adapter: str | None = None) -> nn.Module:
    """The student in float32, from the base model or, when `folder` is given, as an earlier attempt exported it.

    With `config.lora`, `adapter` is that of an earlier student, to go on from.

    Its generation config says where a turn ends, at `stop_id` as well, so that whoever loads the export stops where it
    learned to, and nothing of how to sample: with a base model's penalty the student was neither trained nor judged.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(config.seed)
    source = folder if folder and not config.lora else config.student
    revision = None if source == folder else config.revision
    model: Any = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=torch.float32)
    model.generation_config = _generation(model.generation_config, stop_id)
    if config.lora:
        model = _with_adapter(model, config, folder or adapter)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def _with_adapter(model: Any, config: Train, folder: str | None) -> nn.Module:
    from peft import LoraConfig, PeftModel, get_peft_model

    assert config.lora
    if folder:
        return PeftModel.from_pretrained(model, folder, is_trainable=True)
    targets = config.lora.target_modules
    adapter = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=config.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
        revision=config.revision,
    )
    return get_peft_model(model, adapter)


def _generation(base: Any, stop_id: int) -> Any:
    """The special tokens of the base's generation config, and `stop_id` among those that end a turn."""
    from transformers import GenerationConfig

    known = base.eos_token_id
    stops = [known] if isinstance(known, int) else list(known or [])
    if stop_id not in stops:
        stops.append(stop_id)
    return GenerationConfig(
        bos_token_id=base.bos_token_id,
        eos_token_id=stops[0] if len(stops) == 1 else stops,
        pad_token_id=base.pad_token_id,
    )


def distribute(model: Any, strategy: str) -> nn.Module:
    """The model on this worker's device, wrapped for data-parallel training among all workers.

    ``ddp`` keeps a copy per worker; ``fsdp`` shards parameters, gradients and optimiser state (FSDP2, block by
    block, in place), also on CPU, which `prepare_model` refuses.
    """
    import ray.train.torch

    if strategy == "ddp":
        return ray.train.torch.prepare_model(model, parallel_strategy_kwargs={"broadcast_buffers": False})
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = ray.train.torch.get_device()
    mesh = init_device_mesh(device.type, (ray.train.get_context().get_world_size(),))
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in [module for module in model.modules() if type(module).__name__ in blocks]:
        fully_shard(module, mesh=mesh)
    return fully_shard(model.to(device), mesh=mesh)


def unwrap(model: nn.Module) -> Any:
    """The transformers or peft model inside a DDP wrapper; FSDP2 shards in place and has none."""
    from torch.nn.parallel import DistributedDataParallel

    return model.module if isinstance(model, DistributedDataParallel) else model


@contextmanager
def gradients_kept_local(model: nn.Module, local: bool) -> Iterator[None]:
    """Within this context, if `local`, backward accumulates on each worker without averaging over workers."""
    from torch.distributed.fsdp import FSDPModule
    from torch.nn.parallel import DistributedDataParallel

    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(not local)
        yield
    elif local and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        yield


def export_student(model: nn.Module, tokenizer: Any, folder: str, *, write: bool) -> None:
    """Write a Hugging Face directory, or a PEFT adapter that names its base, with the tokenizer.

    Every worker calls it, since sharded weights are gathered first; only the one with `write` touches the disk.
    """
    from torch.distributed.fsdp import FSDPModule

    state = full_state(model) if isinstance(model, FSDPModule) else None
    if write:
        unwrap(model).save_pretrained(folder, state_dict=state)
        unwrap(model).generation_config.save_pretrained(folder)  # which peft leaves out
        tokenizer.save_pretrained(folder)


def full_state(model: nn.Module) -> dict[str, Any]:
    """All weights on the CPU of worker 0 (empty elsewhere)."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
