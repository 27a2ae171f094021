"""An S3 server on loopback, and the URLs of shared stores in it and in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server on loopback; the end of its URLs."""
    server = pytest.importorskip("moto.server")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    _, port = running.get_host_and_port()
    yield f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=ap-northeast-2"
    running.stop()


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/team"
    query = request.getfixturevalue("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = f"bucket-{abs(hash(tmp_path)) % 10**9}"
    from pyarrow import fs

    options = dict(part.split("=") for part in query[1:].split("&"))
    fs.S3FileSystem(**options, allow_bucket_creation=True).create_dir(bucket)
    return f"s3://{bucket}/team{query}"
