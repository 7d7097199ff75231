"""What this package adds to vLLM's own worker process (`worker_extension_cls`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any


class WorkerExtension:
    """Mixed into vLLM's worker; `collective_rpc` calls its methods by name."""

    if TYPE_CHECKING:  # the worker has them
        model_runner: Any

        def reload_weights(self, *, weights_path: str) -> None: ...

    def score_beside_adapters(self) -> None:
        """Let an engine that takes adapters make log-probabilities of prompts.

        vLLM 0.29 adds an adapter's part of the output layer to logits by an index of the batch's samples. It does so
        with the logits of prompts, too, which are others in number, and ends (docs/decisions.md). That part is left out
        there; the adapters that are scored have none.
        """
        from vllm.lora.layers.logits_processor import LogitsProcessorWithLoRA

        layers = [m for m in self.model_runner.get_model().modules() if isinstance(m, LogitsProcessorWithLoRA)]
        of_prompts, inside = self.model_runner._get_prompt_logprobs_dict, False

        def marked(*arguments: Any) -> Any:
            nonlocal inside
            inside = True
            try:
                return of_prompts(*arguments)
            finally:
                inside = False

        def guarded(add: Callable[..., Any]) -> Callable[..., Any]:
            return lambda logits, *others, **named: logits if inside else add(logits, *others, **named)

        runner: Any = self.model_runner
        runner._get_prompt_logprobs_dict = marked
        for wrapper in {id(layer.punica_wrapper): layer.punica_wrapper for layer in layers}.values():
            wrapper.add_lora_logits = guarded(wrapper.add_lora_logits)  # type: ignore[method-assign]

    def change_weights(self, weights_path: str) -> None:
        """Load other weights of the same architecture in place, the output layer included.

        A CPU worker computes logits with a packed copy of the output layer's weight. vLLM 0.29 packs a layer anew
        when a weight of that name was loaded, which is never true of an output layer tied to the embeddings: new
        weights would speak through the first model's output layer (docs/decisions.md). vLLM packs on
        CPUs only; elsewhere the second half of this method does nothing.
        """
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod

        self.reload_weights(weights_path=weights_path)
        for layer in self.model_runner.get_model().modules():
            method = getattr(layer, "quant_method", None)
            if isinstance(layer, ParallelLMHead) and isinstance(method, UnquantizedEmbeddingMethod):
                method.process_weights_after_loading(layer)
