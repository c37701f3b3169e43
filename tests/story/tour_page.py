"""What docs/tour.md says: every screen with its words and its pictures. The pictures are taken by test_tour.py.

make pictures    takes the pictures and writes the page
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tour.md"
PICTURES = ROOT / "docs" / "tour"
WIDE, PHONE = "1280-light", "390-light"
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
    Screen(
        "health",
        "Health",
        "The first page: whether all is well, what to do next, with one button each, and how each board is.",
        (WIDE, PHONE_DARK),
    ),
    Screen(
        "inbox",
        "Inbox",
        "All that needs attention, by cause. Keys: j and k move, 1 and 3 choose a side, x selects, u undoes, ? shows "
        "them all.",
        (WIDE, PHONE_DARK),
    ),
    Screen(
        "unmatched",
        "Unmatched items",
        "Items that no record has, since when and why: create the record, link the item to one, or ignore it.",
    ),
    Screen(
        "contacts",
        "Contacts",
        "A record's state is beside its name, in words and with a symbol; a badge leads to what can be done.",
        (WIDE,),
    ),
    Screen(
        "record",
        "A record",
        "Its state and what can be done; below the form NPD and Monday are compared field by field, and the record's "
        "activity follows.",
        (WIDE, PHONE),
    ),
    Screen("conflicts", "Conflicts", "All open conflicts, with the values of both sides.", (WIDE, DARK)),
    Screen(
        "conflict",
        "A conflict",
        "NPD, the last synced value, Monday, and what will be written. Keys: 1 NPD, 3 Monday, Enter resolves and opens "
        "the next, u undoes it.",
        (WIDE, DARK, PHONE_DARK),
    ),
    Screen(
        "refused",
        "A value that Monday rejects",
        "Correct it and send it again, use Monday's value, or keep both different.",
        (WIDE, PHONE),
    ),
    Screen(
        "import",
        "Import",
        "A CSV or Excel file: what is new, what changes, and what can't be imported, before anything is written. The "
        "whole import can be undone.",
    ),
    Screen(
        "queue", "Queue", "Which jobs are pending and why, and which have failed; pause, retry, cancel and discard."
    ),
    Screen("approval", "Approvals", "Bulk deletions wait here until a person approves or rejects them."),
    Screen(
        "mapping",
        "A board and its mapping",
        "Which field goes into which column, in which direction, and what is done when both sides changed it.",
    ),
    Screen(
        "wizard",
        "Set-up and mapping",
        "Connect, boards, map, match, plan, run. Nothing is written before the plan is confirmed.",
        (WIDE, PHONE_DARK),
    ),
    Screen(
        "notifications",
        "Notifications",
        "By email, Slack or Teams, at once, hourly or daily: what needs attention, each thing once.",
    ),
    Screen(
        "decisions",
        "Activity",
        "Everything that was sent, updated or asked, each with its trigger. What can be undone has a button.",
        (WIDE, PHONE),
    ),
    Screen(
        "board",
        "The sandbox's board",
        "The simulator plays Monday: a person edits here as on a real board, and NPD follows within a second.",
    ),
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
