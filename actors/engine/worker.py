"""What this package adds to vLLM's own worker process (`worker_extension_cls`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class WorkerExtension:
    """Mixed into vLLM's worker; `collective_rpc` calls its methods by name."""

    if TYPE_CHECKING:  # the worker has them
        model_runner: Any

        def reload_weights(self, *, weights_path: str) -> None: ...

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
