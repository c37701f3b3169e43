"""What the tests of the embedded start share."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.embedded.postgres import EmbeddedPostgres, remove_outside
from tests.support.servers import FOLDER


@contextmanager
def folder_of_ones_own() -> Iterator[Path]:
    """A folder that PostgreSQL's account may enter; pytest's tmp_path is closed to all but its owner."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=FOLDER))
    folder.chmod(0o755)
    yield folder
    remove_outside(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_of_ones_own() as folder:
        yield folder


@pytest.fixture(scope="session")
def cluster_data() -> Iterator[Path]:
    """The data of a cluster, made once to be copied: making it takes seconds."""
    with folder_of_ones_own() as folder:
        server = EmbeddedPostgres(folder / "pg", fast=True)
        server.start()
        server.stop()
        yield server.data


@pytest.fixture
def server(open_folder: Path, cluster_data: Path) -> Iterator[EmbeddedPostgres]:
    """A cluster that has data but doesn't run."""
    subprocess.run(["cp", "-a", cluster_data, open_folder / "pg"], check=True)
    postgres = EmbeddedPostgres(open_folder / "pg", fast=True)
    yield postgres
    postgres.stop()
