from tests.setup.fixtures import monday, receiver, run

__all__ = ["monday", "receiver", "run"]
