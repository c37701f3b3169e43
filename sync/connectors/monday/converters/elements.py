"""Lists: what converters of several values in one column have in common.

In NPD a list is a list of texts, or one text with the elements between commas or on lines of their own.
Canonical is a sorted tuple without doubles: order and doubles say nothing.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import folded, only_field, unreadable

SEPARATORS = re.compile(r"[,\n\r]")


class ListConverter(Plain):
    """One field with a list; `key` is the form in which two elements are compared."""

    def key(self, element: str) -> str:
        return element

    def local(self, raw: Local) -> Canonical:
        return self.canonical(self.elements(only_field(raw)[1]))

    def elements(self, value: Any) -> list[str]:
        """The elements of an NPD value, as written there."""
        return elements_of(value)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for Monday's value; each kind of column reads its elements in its own way."""
        raise NotImplementedError

    def canonical(self, elements: Iterable[str]) -> Canonical:
        return tuple(sorted({self.key(element) for element in elements})) or None

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.with_elements(elements_of(text), current_local)

    def with_elements(self, wanted: Sequence[str], current_local: Local) -> Local:
        """The NPD fields for these elements; raises UnknownValue where a text can't hold one of them."""
        name, current = only_field(current_local)
        here = self.elements(current)
        if self.canonical(here) == self.canonical(wanted):
            return {name: current}
        new = _with_spelling(wanted, here, self.key)
        return {name: self.shaped(new, current)}

    def united(self, wanted: Canonical, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for elements of both sides, each spelled as its side spells it; NPD's spelling first.

        Raises UnknownValue where NPD's field can't hold one of them.
        """
        keys = set(wanted or ())
        there = self.elements(only_field(self.to_local(remote_raw, self._as_list(current_local)))[1])
        here = self.elements(only_field(current_local)[1])
        return self.with_elements([e for e in [*here, *there] if self.key(e) in keys], current_local)

    def _as_list(self, local: Local) -> Local:
        """The same field as a list, which can hold what a text of elements between commas can't."""
        name, value = only_field(local)
        return {name: self.elements(value)}

    def shaped(self, elements: list[str], current: Any) -> Any:
        """The elements in the form of the current value: a list, or a text with commas between them."""
        if not isinstance(current, str):
            return elements
        spoilt = next((element for element in elements if SEPARATORS.search(element)), None)
        if spoilt is not None:
            raise UnknownValue(
                f"“{spoilt}” holds a comma or a line break, which separate elements in NPD's field"
            )
        return ", ".join(elements)


def elements_of(value: Any) -> list[str]:
    """The elements of a list, or of a text between commas and line breaks; raises UnknownValue for others."""
    if value is None:
        return []
    if isinstance(value, str):
        return _filled(SEPARATORS.split(value))
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return _filled(value)
    raise unreadable(value)


def _filled(texts: Iterable[str]) -> list[str]:
    found = [folded(text) for text in texts]
    return list(dict.fromkeys(text for text in found if text is not None))


def _with_spelling(wanted: Sequence[str], here: Sequence[str], key: Callable[[str], str]) -> list[str]:
    """What stays in its order and spelling, then what is new."""
    asked = {key(element) for element in wanted}
    kept = [element for element in here if key(element) in asked]
    have = {key(element) for element in kept}
    added: dict[str, str] = {}
    for element in wanted:
        if key(element) not in have:
            added.setdefault(key(element), element)
    return [*kept, *added.values()]
