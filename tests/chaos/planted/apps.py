"""The application by which processes get the wrong functions."""

from django.apps import AppConfig


class Planted(AppConfig):
    """Installs them when Django starts."""

    name = "tests.chaos.planted"

    def ready(self) -> None:
        """All models and modules are there by now."""
        from tests.chaos.planted import install

        install()
