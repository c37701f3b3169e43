"""A list and a tags column, whose tags belong to the account."""

from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Options, UnknownValue
from sync.connectors.monday.converters.elements import ListConverter, elements_of
from sync.connectors.monday.converters.forms import (
    event_value,
    folded,
    ids_in,
    known_value,
    list_at,
    object_in,
    only_field,
    unreadable,
)
from sync.connectors.monday.items import Reading


class TagsConverter(ListConverter):
    """What a base keeps is `{"tag_ids": [...], "names": {id: name}}`, or None for an empty cell.

    Tags are written by id; `missing` names those that have none yet and must be made first
    (developer.monday.com/api-reference/reference/tags-1).
    """

    column_type = "tags"

    def __init__(self, options: Options) -> None:
        self._names = options.tags

    def remote(self, raw: Any) -> Canonical:
        return self.canonical(self._tags(raw))

    def raw_of(self, reading: Reading) -> Any:
        value = known_value(reading, "tags")
        tags = reading.extra.get("tags")
        if not tags:
            ids = ids_in(list_at(value, "tag_ids"))
            return {"tag_ids": ids, "names": {}} if ids else None
        if not isinstance(tags, list) or not all(_is_tag(tag) for tag in tags):
            raise unreadable(tags)
        names = {str(tag["id"]): tag["name"] for tag in tags}
        return {"tag_ids": list(names), "names": names} if names else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        tags = self.elements(only_field(raw_local)[1])
        if not tags:
            return None
        return {"tag_ids": [self._id_of(tag, existing_remote_raw) for tag in tags]}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self._tags(remote_raw), current_local)

    def missing(self, raw_local: Local) -> list[str]:
        known = {folded(name) for name in self._names.values()}
        return [tag for tag in self.elements(only_field(raw_local)[1]) if tag not in known]

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, "tags"))

    def _tags(self, raw: Any) -> list[str]:
        ids = ids_in(list_at(raw, "tag_ids"))
        names = {**self._names, **_names_in(raw)}
        unknown = next((key for key in ids if not folded(names.get(key))), None)
        if unknown is not None:
            raise UnknownValue(f"the name of Monday's tag {unknown} is not known")
        return elements_of([names[key] for key in ids])

    def _id_of(self, tag: str, existing: Any) -> int:
        """The tag's id: of one that the cell has already, else of the oldest with this name.

        A name that Monday has in other capitals is that tag: whether `create_or_get_tag` makes a second one
        then is not published, and where it doesn't, no tag would ever have the name.
        """
        here = _names_in(existing)
        names = {key: folded(name) or "" for key, name in {**self._names, **here}.items()}
        found = [key for key, name in names.items() if name == tag]
        found = found or [key for key, name in names.items() if name.casefold() == tag.casefold()]
        if not found:
            raise UnknownValue(f"the tag “{tag}” is not made on Monday yet")
        return int(min(found, key=lambda key: (key not in here, len(key), key)))


def _names_in(raw: Any) -> Mapping[str, str]:
    names = object_in(raw).get("names", {})
    return names if isinstance(names, Mapping) else {}


def _is_tag(tag: Any) -> bool:
    if not isinstance(tag, Mapping) or not isinstance(tag.get("name"), str):
        return False
    ids_in([tag.get("id")])
    return True
