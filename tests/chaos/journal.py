"""What people did: every value that they wrote, and what they saw on the screen."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

NPD, MONDAY = "npd", "monday"
TOKEN = re.compile(r"k\d{3}z|\b4670\d{7}\b")
FIELDS = {"contact": ("name", "email", "phone", "role_title", "notes"), "organization": ("name", "notes", "address")}


def text_for(entity_type: str, key: str, number: int) -> str:
    """A unique value of a form that its field takes."""
    token = f"k{number:03}z"
    if key == "phone":
        return f"+4670{number:07}"
    shapes = {"name": "Person" if entity_type == "contact" else "Firm", "role_title": "Role", "notes": "Note on"}
    if key == "email":
        return f"{token}@example.com"
    return f"{shapes.get(key, 'Street')} {token}"


def essence(key: str, text: Any) -> str:
    """A value without the form in which a side stores or shows it."""
    words = unicodedata.normalize("NFC", str(text or "")).replace("\r\n", "\n").strip()
    if key == "phone":
        return "".join(character for character in words if character.isdigit())
    if key == "email":
        return words.rsplit(" - ", 1)[-1].casefold()
    if key == "address":
        return " ".join(sorted(TOKEN.findall(words)))
    return words


def token_of(key: str, text: Any) -> str:
    """The unique part by which a value is found again anywhere."""
    match = TOKEN.search("".join(str(text or "").split()) if key == "phone" else str(text or ""))
    return match.group() if match else ""


@dataclass(frozen=True)
class Violation:
    check: str
    words: str

    def __str__(self) -> str:
        return f"[{self.check}] {self.words}"


@dataclass(frozen=True)
class Write:
    """A value that a person, an import or an automation wrote (empty: cleared), and the values `shown` to them."""

    step: int
    by: str
    side: str
    handle: str
    key: str
    value: str
    shown: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        return token_of(self.key, self.value)


@dataclass(frozen=True)
class Setting:
    """A setting of a record, a mapping (`handle` "contact.phone") or a board, from this step on."""

    step: int
    handle: str
    name: str
    value: Any


@dataclass
class Journal:
    """Everything that a run did and that took effect."""

    writes: list[Write] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)  # handle → step, in NPD
    removed: dict[str, int] = field(default_factory=dict)  # handle → step, archived, deleted or moved on Monday
    moved: set[str] = field(default_factory=set)  # tokens on items that somebody moved away
    dropped: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # (handle, key) → a value lost by moves of its item
    copied: set[str] = field(default_factory=set)  # ids of items that “Duplicate item” made
    pushed_by_name: dict[str, list[int]] = field(default_factory=dict)
    costs: list[tuple[float, str]] = field(default_factory=list)  # time and step, of steps that may take calls
    types: dict[str, str] = field(default_factory=dict)  # handle → entity type
    records: dict[str, str] = field(default_factory=dict)  # handle → id in NPD, of records made there
    items: dict[str, str] = field(default_factory=dict)  # handle → item's id, of items made on Monday
    wrong: list[str] = field(default_factory=list)  # what a step itself saw go wrong
    counts: Counter[str] = field(default_factory=Counter)  # how often each step, fault and conflict kind occurred
    lines: list[str] = field(default_factory=list)  # the story, for the person who debugs it

    def complaints(self) -> Iterator[Violation]:
        """Hand out what steps saw go wrong, each once."""
        while self.wrong:
            yield Violation("during the run", self.wrong.pop(0))

    def wrote(self, write: Write) -> None:
        self.writes.append(write)
        self.lines.append(
            f"  {write.step:3} {write.by} wrote {write.handle}.{write.key} = {write.value!r} in {write.side},"
            f" seeing {', '.join(map(repr, write.shown)) or 'nothing'}"
        )

    def setting_at(self, step: int, handle: str, name: str, default: Any) -> set[Any]:
        """Every value that this setting had during the step."""
        before = [s.value for s in self.settings if (s.handle, s.name) == (handle, name) and s.step < step]
        during = [s.value for s in self.settings if (s.handle, s.name) == (handle, name) and s.step == step]
        return {before[-1] if before else default, *during}
