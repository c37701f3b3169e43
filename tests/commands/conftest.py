from tests.setup.fixtures import run

__all__ = ["run"]
