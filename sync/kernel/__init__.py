"""Helpers that know no model."""

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

Key = TypeVar("Key")
Value = TypeVar("Value")


def grouped(values: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    """Group values by key, in their order."""
    groups: dict[Key, list[Value]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


def as_uuid(text: str) -> UUID | None:
    """Return the text as an NPD ID, or None if it isn't one."""
    try:
        return UUID(text)
    except ValueError:
        return None
