"""What docs/tour.md says: every screen with its words and its pictures. The pictures are taken by test_tour.py.

make pictures    takes the pictures and writes the page
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tour.md"
PICTURES = ROOT / "docs" / "tour"
WIDE = "1280-light"
DARK, PHONE_DARK = "1280-dark", "390-dark"


@dataclass(frozen=True)
class Screen:
    """A screen of the tour: its file's name, its title, what a person does there, and the pictures of it."""

    name: str
    title: str
    words: str
    looks: tuple[str, ...] = (WIDE,)

    def files(self) -> list[str]:
        """The names of its pictures."""
        return [f"{self.name}-{look}.png" for look in self.looks]


SCREENS = (
    Screen("health", "Health", "Whether all is well, what to do next, with one button each, and how each board is."),
    Screen("inbox", "Inbox", "All that needs attention, by cause."),
    Screen("contacts", "Contacts", "A record's state is beside its name; a badge leads to what can be done."),
    Screen("record", "A record", "Its state and what can be done; both sides, field by field; its activity."),
    Screen(
        "conflict",
        "A conflict",
        "NPD, the last synced value, Monday, and what will be written. By keys, in the dark, on a phone.",
        (WIDE, DARK, PHONE_DARK),
    ),
    Screen("decisions", "Activity", "Everything that was sent, updated or asked. What can be undone has a button."),
    Screen("import", "Import", "What is new, what changes, and what can't be imported, before anything is written."),
    Screen("mapping", "A board", "Which field goes into which column, in which direction, by which rule."),
    Screen(
        "wizard", "Set-up", "Token, boards, fields, plan. Nothing is written before the plan is started."
    ),
    Screen("board", "The sandbox's board", "The simulator plays Monday; NPD follows an edit within a second."),
)


def text() -> str:
    """The page."""
    head = (
        "# A tour of the screens",
        "",
        "<!-- Written by `make pictures`, with its pictures: change tests/story/tour_page.py, then run it again. -->",
        "",
        "The demo, as `make run` starts it, with invented people. Everything works by keyboard, on a phone, in light",
        "and dark. How to work with it: [the how-tos](README.md).",
        "",
    )
    return "\n".join([*head, *(line for screen in SCREENS for line in _section(screen))]).rstrip() + "\n"


def _section(screen: Screen) -> list[str]:
    pictures = [f"![{screen.title}: {_look(look)}](tour/{screen.name}-{look}.png)" for look in screen.looks]
    return [f"## {screen.title}", "", screen.words, "", *(line for one in pictures for line in (one, ""))]


def _look(look: str) -> str:
    width, scheme = look.split("-")
    return f"{'phone' if width == '390' else 'desk'}, {scheme}"
