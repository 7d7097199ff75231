"""What a zygote does to its own interpreter before it forks: load, warm up, then forget the outside.

Threat model: hygiene, not protection. Nothing here is relied on to stop a program; it keeps honest programs fast,
deterministic, and unable to trip over things of this process by accident.
"""

import gc
import importlib
import os
import random
import site
import sys
import warnings
from importlib.machinery import BuiltinImporter, FrozenImporter

from ..profiles import Profile, whole_library
from ..wire import ProgramMessage
from .child import ProgramRunner
from .screen import RANDOM_SEED
from .time_zones import keep_time_zones

FILLER_BYTES = 16 << 10  # per size class of Python's small-object allocator
ALIGNMENT, LARGEST_SMALL_OBJECT, BYTES_OVERHEAD = 16, 512, 33

_fillers: list[list[bytes]] = []


def preload(profile: Profile, extra_modules: list[str]) -> list[str]:
    """Import everything the programs may use; returns what is not installed."""
    site.setquit()  # exit() and quit(), where the interpreter runs without `site`
    warnings.simplefilter("ignore")
    missing = []
    for name in [*profile.modules, *(whole_library() if profile.is_whole else ()), *extra_modules]:
        try:
            importlib.import_module(name)
        except Exception:  # not installed, or of another system: programs that want it are told that it is not there
            missing.append(name)
    keep_time_zones()
    return missing


def warm_up(runner: ProgramRunner, profile: Profile) -> None:
    standard = sys.stdin, sys.stdout, sys.stderr
    for source in list(profile.warm_programs) * 5:
        for screened in (False, True) if runner.screen else (False,):
            runner.run(ProgramMessage(source), 1 << 16, 1 << 13, screened)
    sys.stdin, sys.stdout, sys.stderr = standard


def forget_the_outside() -> None:
    """Last steps in Python's own world: nothing further is importable, the environment is empty, memory is still."""
    for name in [name for name in sys.modules if name.partition(".")[0] == __name__.partition(".")[0]]:
        del sys.modules[name]
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]
    sys.argv[:] = ["program"]
    sys.orig_argv[:] = ["python"]
    os.environ.clear()
    random.seed(RANDOM_SEED)  # after the last os.fork, which reseeds; every child starts from this state
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(RANDOM_SEED)
    gc.collect()
    _fill_holes()


def keep_still() -> None:
    """After the last set-up: no child's collector has anything to do with what is older than the child.

    A collection also sets the count of new objects to zero; without it, nearly every child would run one.
    """
    gc.collect()
    gc.freeze()


def _fill_holes() -> None:
    """Use up the free places that start-up left scattered over the heap.

    What a child allocates then lies close together, on few pages, and each page it touches costs it a page fault.
    """
    for size in range(BYTES_OVERHEAD + 1, LARGEST_SMALL_OBJECT + 1, ALIGNMENT):
        _fillers.append([bytes(size - BYTES_OVERHEAD) for _ in range(FILLER_BYTES // size)])
