"""Time zones in memory: the modules that know of them open a file for each zone, and no file opens in the sandbox.

Threat model: hygiene, not protection. The files are read before the lock, from where the interpreter finds them.
"""

import io
import sys
from typing import Any, BinaryIO


def keep_time_zones() -> None:
    """Take the zones of each loaded module into memory; zones are built when a program asks for one."""
    if "zoneinfo" in sys.modules:
        _keep_files_of_zoneinfo()
    if "dateutil.zoneinfo" in sys.modules:
        sys.modules["dateutil.zoneinfo"].get_zonefile_instance()
    if "pytz" in sys.modules:
        for name in sys.modules["pytz"].all_timezones:
            sys.modules["pytz"].timezone(name)


def _keep_files_of_zoneinfo() -> None:
    """Replace the two functions of `zoneinfo` that read; where it looks for a file, it finds none after the lock."""
    import zoneinfo
    from zoneinfo import _common, _tzpath  # type: ignore[attr-defined]

    files = {name: _read(_tzpath, _common, name) for name in zoneinfo.available_timezones()}

    def load_tzdata(key: str) -> BinaryIO:
        if key not in files:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(files[key])

    _common.load_tzdata = load_tzdata  # type: ignore[assignment]
    zoneinfo.available_timezones = lambda: set(files)


def _read(paths: Any, common: Any, name: str) -> bytes:
    path = paths.find_tzfile(name)
    with open(path, "rb") if path else common.load_tzdata(name) as file:
        return file.read()
