"""The connector stands alone, and its pure modules do no I/O."""

import subprocess
import sys

import pytest

ALL = (
    "import pkgutil, importlib, sync.connectors.monday as m;"
    "[importlib.import_module(f.name) for f in pkgutil.walk_packages(m.__path__, m.__name__ + '.')];"
)


def _loaded_by(code: str, *, of: str) -> bool:
    """Whether a fresh interpreter that runs this has loaded the module."""
    check = f"{code} import sys; print({of!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return run.stdout.strip() == "True"


def test_the_connector_loads_without_django_and_without_our_models() -> None:
    assert _loaded_by(ALL, of="sync.connectors.monday.client")
    assert not _loaded_by(ALL, of="django")
    assert not _loaded_by(ALL, of="sync.models")


@pytest.mark.parametrize("module", ["columns", "graphql", "items", "webhooks", "error_codes"])
@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_a_pure_module_loads_no_http_library(module: str, library: str) -> None:
    code = f"import sync.connectors.monday.{module};"
    assert not _loaded_by(code, of=library)
