"""What comes with the package, by its names in a checkout: ``configs/demo.yaml``, ``demo/models/teacher``.

A path that is not in the working directory and begins with one of these folders is the package's, so that a shipped
configuration, or a copy of it, means the same models anywhere. Configurations of runs are found by their names, too:

    demo, demo-real, real/gsm8k --find_configuration--> configs/demo.yaml, ...
"""

from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).resolve().parents[2]  # the folder of the package; the top of a checkout
FOLDERS = ("configs", "demo")
OF_OTHERS = ("datastores", "targets")  # in configs/: what the configuration of a run names


def shipped(path: str) -> str:
    """`path`; where there is no such thing and the package has it, its place there."""
    if path.partition("/")[0] in FOLDERS and not Path(path).exists() and (HOME / path).exists():
        return str(HOME / path)
    return path


def configurations() -> dict[str, Path]:
    """The shipped configurations of runs by their names: ``{"demo": ..., "real/gsm8k": ...}``."""
    folder = HOME / "configs"
    files = {str(file.relative_to(folder).with_suffix("")): file for file in sorted(folder.rglob("*.yaml"))}
    return {name: file for name, file in files.items() if name.partition("/")[0] not in OF_OTHERS}


def find_configuration(path: str | Path) -> Path:
    """The file at `path`, else the shipped one of this path or name, else `path` as it is."""
    if Path(path).is_file():
        return Path(path)
    return configurations().get(str(path)) or Path(shipped(str(path)))


def about(file: Path) -> str:
    """What a configuration says of itself: the first sentence of the comment that it begins with."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# "))
    sentence, _, _ = " ".join(lines).partition(". ")
    return sentence.rstrip(".:")
