"""The zygote's entry point: `python -s -B .../actors/sandbox`, started by `supervisor.py` only.

The package is loaded under a name of its own and from its own folder, so that neither the import path nor the
rest of the project is visible to the programs that run later.
"""

import importlib.util
import os.path
import sys

PACKAGE = "raydistill_sandbox"


def load_package() -> None:
    folder = os.path.dirname(os.path.realpath(__file__))
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec and spec.loader
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load_package()
    importlib.import_module(f"{PACKAGE}.inside.zygote").main()
