"""Sync health, the first page of the admin."""

from sync.admin.health.page import health
from sync.admin.health.tasks import Task

__all__ = ["Task", "health"]
