"""What the tests of the embedded start share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import FOLDER


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account may enter; pytest's tmp_path is closed to all but its owner."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=FOLDER))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
