"""What a run stores in a bucket: segments and whole files, through pyarrow's S3 and a server of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raydistill.actors.segments import SegmentWriter, list_segments, read_segments
from raydistill.actors.storage import read_bytes, remove, write_atomic

pytestmark = pytest.mark.cluster

BUCKET = "raydistill-runs"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server of this process, and a bucket there; its address reaches all processes by the environment."""
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem(endpoint_override=url, allow_bucket_creation=True).create_dir(BUCKET)
    yield f"s3://{BUCKET}"
    server.stop()


def test_segments_are_stored_in_a_bucket(bucket: str) -> None:
    import pyarrow as pa

    folder = f"{bucket}/files/verdicts/key"
    write_atomic(f"{bucket}/files/config.yaml", b"cpus: 1")
    assert read_bytes(f"{bucket}/files/config.yaml") == b"cpus: 1"
    assert read_bytes(f"{bucket}/files/report.json") is None
    assert list_segments(folder) == []
    writer = SegmentWriter(folder, pa.schema([("sample_id", pa.string())]))
    for sample in ("q/0", "q/1"):
        writer.append([{"sample_id": sample}])
        writer.flush()
    [table] = read_segments(folder)
    assert table["sample_id"].to_pylist() == ["q/0", "q/1"]
    remove(folder)
    assert list_segments(folder) == []
    assert read_bytes(f"{bucket}/files/config.yaml")
