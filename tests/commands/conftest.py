from tests.setup.conftest import run

__all__ = ["run"]
