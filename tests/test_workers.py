"""Distributed engines: a task fetches from the internal server, in the engine's own worker process.

They are large, and PySpark needs Java, so this file runs in a tox environment of its own: ``tox -e workers``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import HERE, environment, run

# Each defines `start(task, argument)`, which gives what the task returned on a worker.
ENGINES = {
    "distributed": """
from distributed import Client, LocalCluster

def start(task, argument):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None)
    with cluster, Client(cluster) as client:
        return client.submit(task, argument).result(timeout=100)
""",
    "ray": """
import ray

def start(task, argument):
    folder, memory = sys.argv[2], 100 * 2**20
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=memory, _node_ip_address="127.0.0.1", _temp_dir=folder)
    try:
        return ray.get(ray.remote(task).remote(argument), timeout=100)
    finally:
        ray.shutdown()
""",
    "pyspark": """
from pyspark.sql import SparkSession

def start(task, argument):
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    with builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate() as session:
        return session.sparkContext.parallelize([argument], 1).map(task).collect()[0]
""",
}
PROGRAM = """
import json, os, sys
{engine}

def task(urls):
    import clients
    return os.getpid(), [clients.judge("requests_get", url, "default") for url in urls]

if __name__ == "__main__":
    worker, verdicts = start(task, json.loads(sys.argv[1]))
    print(json.dumps([worker != os.getpid(), *verdicts]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: Ray's sockets lie in it, and a socket's path has at most 107 bytes."""
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path, ignore_errors=True)  # an engine's last process may still write there


@pytest.mark.parametrize("engine", ENGINES)
def test_a_task_on_a_worker(engine: str, urls: dict[str, str], store: Path, folder: Path) -> None:
    pytest.importorskip(engine, reason="the workers environment has it: tox -e workers")
    program = folder / "program.py"
    program.write_text(PROGRAM.format(engine=ENGINES[engine]))
    env = environment(
        SSL_CERT_DIR=store,
        PYTHONPATH=HERE,
        HOME=folder,
        TMPDIR=folder,
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    )
    given = [urls["system"], urls["intermediate"], urls["unknown"], urls["wrong_host"]]
    for switch, verdict in (("1", "accepted"), ("0", "refused")):
        result = run(
            program, json.dumps(given), str(folder), env={**env, "TRUSTSTORE_INJECT": switch}, cwd=folder, timeout=300
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout.splitlines()[-1]) == [True, verdict, verdict, "refused", "refused"]
