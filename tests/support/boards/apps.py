from django.apps import AppConfig


class BoardsConfig(AppConfig):
    name = "tests.support.boards"
    label = "boards"

    def ready(self) -> None:
        from sync import registry
        from tests.support.boards.models import SPECS

        for spec in SPECS:
            registry.register(spec)
