"""Labels of status and dropdown columns, as the column's settings name them.

Two forms exist: `settings` lists labels as objects, the older `settings_str` maps them by index
(developer.monday.com/api-reference/reference/status and …/dropdown).
"""

from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.forms import folded


def labels_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """The labels that can be chosen now, by the id with which Monday's values name them."""
    given = settings.get("labels")
    if isinstance(given, Mapping):
        pairs = [(str(key), _name(label)) for key, label in given.items()]
    elif isinstance(given, list):
        entries = [entry for entry in given if isinstance(entry, Mapping) and not entry.get("is_deactivated")]
        pairs = [(_id(entry), _name(entry)) for entry in entries]
    else:
        pairs = []
    return {key: name for key, name in pairs if key and name}


def id_of(label: str, known: Mapping[str, str]) -> str | None:
    """The id of the label that says this, the lowest where there are several."""
    return min(
        (key for key, name in known.items() if folded(name) == label), default=None, key=lambda k: (len(k), k)
    )


def _id(entry: Mapping[str, Any]) -> str:
    # In a status `index` is the place in the list, `id` what values are kept by; older answers have one of both.
    found = entry.get("id", entry.get("index"))
    return "" if found is None else str(found)


def _name(label: Any) -> str:
    if isinstance(label, Mapping):
        label = label.get("label", label.get("name"))
    return label if isinstance(label, str) else ""
