"""The connector stands alone, and its pure modules do no I/O."""

import subprocess
import sys

import pytest

ALL = (
    "import pkgutil, importlib, sync.connectors.monday as m;"
    "[importlib.import_module(f.name) for f in pkgutil.walk_packages(m.__path__, m.__name__ + '.')];"
)


def _loaded_by(code: str) -> set[str]:
    """What a fresh interpreter that runs this has loaded."""
    check = f"{code} import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout.split())


def test_the_connector_loads_without_django_and_without_our_models() -> None:
    loaded = _loaded_by(ALL)
    assert "sync.connectors.monday.client" in loaded
    assert loaded.isdisjoint({"django", "sync.models"})


@pytest.mark.parametrize("module", ["columns", "graphql", "items", "board_events"])
def test_a_pure_module_loads_no_http_library(module: str) -> None:
    assert _loaded_by(f"import sync.connectors.monday.{module};").isdisjoint({"requests", "urllib3"})
