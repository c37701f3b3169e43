"""Uniting two lists against what they last agreed on. Pure, as the merge of which it is a part."""

from __future__ import annotations

Elements = str | tuple[str, ...] | None


class NotLists(ValueError):
    """One of the values is a text and no list; there is nothing to unite."""


def united(
    local: Elements, remote: Elements, base: tuple[Elements, Elements] | None
) -> tuple[str, ...] | None:
    """Return the base plus what either side added, minus what either removed; without a base, both.

    Each side is compared with its own half of the base. What one side added stays, also where the other half's
    list says that it went: an added element is what a person wrote. Raises NotLists.
    """
    here, there = _set(local), _set(remote)
    old_here, old_there = (_set(base[0]), _set(base[1])) if base else (frozenset(), frozenset())
    added = (here - old_here) | (there - old_there)
    removed = (old_here - here) | (old_there - there)
    return tuple(sorted(((here | there) - removed) | added)) or None


def _set(value: Elements) -> frozenset[str]:
    if isinstance(value, str):
        raise NotLists(value)
    return frozenset(value or ())
