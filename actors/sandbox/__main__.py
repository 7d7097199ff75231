"""The zygote's entry point: `python -s -B .../actors/sandbox`, started by `supervisor.py` only.

The package is loaded under a name of its own and from its own folder, so that neither the import path nor the
rest of the project is visible to the programs that run later.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGE = "raydistill_sandbox"


def load_package() -> None:
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load_package()
    importlib.import_module(f"{PACKAGE}.zygote").main()
