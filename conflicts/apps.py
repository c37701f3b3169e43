"""Registers the conflicts' list."""

from django.apps import AppConfig


class ConflictsConfig(AppConfig):
    name = "conflicts"

    def ready(self) -> None:
        from conflicts.pages import admin  # noqa: F401 - registers
