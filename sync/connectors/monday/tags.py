"""Making tags: the account's own list, out of which a tags column's values are chosen by id."""

from collections.abc import Mapping, Sequence

from sync.connectors.monday.answers import Answer
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import MondayError, UnreadableAnswer
from sync.connectors.monday.fragments import COMPLEXITY


def create_tags(names: Sequence[str], board_id: str | None = None) -> Document:
    """Have a tag for each name: made, or found where the account has it (so it can be sent again).

    A private board has tags of its own and has to be named
    (developer.monday.com/api-reference/reference/tags-1). Raises ValueError without a name.
    """
    if not names:
        raise ValueError("There is no tag to make.")
    declared = ", ".join(f"$name_{place}: String" for place in range(len(names)))
    fields = "\n  ".join(
        f"{_alias(place)}: create_or_get_tag(tag_name: $name_{place}, board_id: $board) {{ id name }}"
        for place in range(len(names))
    )
    text = f"mutation Tags($board: ID, {declared}) {{\n  {COMPLEXITY}\n  {fields}\n}}"
    return Document(text, {"board": board_id} | {f"name_{place}": name for place, name in enumerate(names)})


def parse_tags(answer: Answer, names: Sequence[str]) -> dict[str, str]:
    """The tags' names by id, as Monday spells them; raises the error of the first that wasn't made."""
    found = {}
    for place in range(len(names)):
        tag = (answer.data or {}).get(_alias(place))
        if not isinstance(tag, Mapping) or not tag.get("id"):
            raise _error(answer, _alias(place))
        found[str(tag["id"])] = str(tag.get("name") or names[place])
    return found


def _alias(place: int) -> str:
    return f"t{place}"


def _error(answer: Answer, alias: str) -> MondayError:
    errors = answer.errors_of(alias)
    if errors:
        return errors[0]
    return UnreadableAnswer("Monday answered nothing for this tag", request_id=answer.request_id)
