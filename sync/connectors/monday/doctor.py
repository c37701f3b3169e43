"""An examination of the connection: token, version, plan, boards, columns, webhooks, and how each is mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.connectors.monday.answers import Api
from sync.connectors.monday.boards import Board, read_boards
from sync.connectors.monday.converters.labels import labels_in
from sync.connectors.monday.errors import MondayError
from sync.connectors.monday.hooks import WEBHOOK_EVENTS, read_webhooks
from sync.connectors.monday.items import NAME_COLUMN
from sync.connectors.monday.platform import NOT_FOR_LONG, Greeting
from sync.connectors.monday.setup import RELATION

NEARLY_FULL = 0.95
"""The share of a board's items from which on it is said that there is little room."""

_SET_UP = "Run `manage.py monday_setup`."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is well, what it is, and how it is mended (empty if well).

    A `warning` is well for now, and says what to do before it isn't. `about` names the part: connection,
    token, version, plan, allowance, board, columns, webhooks, settings, pause, queue.
    """

    ok: bool
    what: str
    mend: str = ""
    about: str = ""
    warning: bool = False

    @property
    def level(self) -> str:
        """Return ok, warning or problem."""
        return "problem" if not self.ok else "warning" if self.warning else "ok"


@dataclass(frozen=True)
class ColumnCheck:
    """What a mapped column should be: one of these types, for a relation one that leads to `target_board`.

    `labels` are those of a status or dropdown column as they were when the mapping was set up.
    """

    title: str
    types: tuple[str, ...]
    target_board: str | None = None
    labels: frozenset[str] | None = None


@dataclass(frozen=True)
class BoardCheck:
    """What a board should have, by column id; `group_id` is where new items go.

    `hook_ids` are the webhooks of ours that come to this address, `former_hook_ids` those of ours that go to
    another one.
    """

    title: str
    board_id: str | None
    columns: Mapping[str, ColumnCheck] = field(default_factory=dict)
    hook_ids: Sequence[str] = ()
    former_hook_ids: Sequence[str] = ()
    group_id: str = ""


def labels_of(settings: Mapping[str, Any]) -> frozenset[str]:
    """The labels of a status or dropdown column that can be chosen."""
    return frozenset(labels_in(settings).values())


def examine_account(greeting: Greeting, asked: str) -> list[Finding]:
    """What the greeting tells; `asked` is the API version that the client asks for."""
    return [*_token(greeting), *_version(greeting, asked), *_plan(greeting)]


def examine(api: Api, greeting: Greeting, asked: str, boards: Sequence[BoardCheck]) -> list[Finding]:
    """Look at everything that can be looked at; errors of Monday's become findings and are not raised."""
    findings = examine_account(greeting, asked)
    try:
        found = read_boards(api, [check.board_id for check in boards if check.board_id])
    except MondayError as error:
        return [*findings, Finding(False, error.message, error.sentence, "board")]
    for check in boards:
        findings += _examine_board(api, check, found.get(check.board_id or ""))
    return findings


def _token(greeting: Greeting) -> Iterator[Finding]:
    if greeting.user_id:
        who = f"{greeting.user_name} (user {greeting.user_id})"
        yield Finding(True, f"The token is valid; it acts as {who}.", about="token")
        return
    refused = _refusal(greeting, "me")
    mend = refused.sentence if refused else "Set MONDAY_API_KEY to a token of a user."
    yield Finding(False, "The token belongs to no user.", mend, "token")


def _version(greeting: Greeting, asked: str) -> Iterator[Finding]:
    served, current = greeting.version_value, _current(greeting)
    kind = greeting.versions.get(asked) or (greeting.version_kind if served == asked else "")
    move = (
        f"Set MONDAY_API_VERSION to the version that Monday calls current{f', {current}' if current else ''}."
    )
    if served != asked:
        what = f"API version {asked} was asked for, {served or 'an unknown one'} answered."
        yield Finding(False, what, f"An old version is replaced without an error. {move}", "version")
    elif kind == "deprecated":
        yield Finding(False, f"API version {asked} is deprecated.", move, "version")
    elif kind in NOT_FOR_LONG:
        what = (
            f"API version {asked} answers, but Monday is about to end it (it is in {kind.replace('_', ' ')})."
        )
        yield Finding(True, what, move, "version", warning=True)
    else:
        yield Finding(True, f"API version {asked} ({kind or 'kind not told'}) answers.", about="version")


def _current(greeting: Greeting) -> str:
    return next((value for value, kind in greeting.versions.items() if kind == "current"), "")


def _plan(greeting: Greeting) -> Iterator[Finding]:
    limit = f": {greeting.day_limit:,} calls a day" if greeting.day_limit else ""
    if greeting.tier or greeting.day_limit:
        yield Finding(True, f"The plan is {greeting.tier or 'not told'}{limit}.", about="plan")
    else:
        refused = _refusal(greeting, "account") or _refusal(greeting, "platform_api")
        reason = f" ({refused.message.rstrip(' .')})" if refused else ""
        what = f"Monday doesn't tell the account's plan and its calls a day{reason}."
        mend = (
            "Give the token the scope account:read; without it only what answers say of the limits is known."
        )
        yield Finding(True, what, mend, "plan", warning=True)


def _refusal(greeting: Greeting, root: str) -> MondayError | None:
    return next((error for error in greeting.refused if error.path_alias == root), None)


def _examine_board(api: Api, check: BoardCheck, board: Board | None) -> Iterator[Finding]:
    if not check.board_id:
        yield Finding(False, f"{check.title}: no board is set.", _SET_UP, "board")
    elif board is None:
        mend = f"Give the token's user access to it, or correct the id. {_SET_UP}"
        yield Finding(
            False, f"{check.title}: board {check.board_id} isn't there, or is hidden.", mend, "board"
        )
    elif not board.is_active:
        mend = "Restore the board on Monday, or set up another one."
        yield Finding(False, f"{check.title}: board {board.id} is {board.state}.", mend, "board")
    else:
        yield Finding(True, f"{check.title}: board “{board.name}” ({board.id}) is active.", about="board")
        yield from _room(check, board)
        yield from _group(check, board)
        yield from _columns(check, board)
        yield from _webhooks(api, check, board.id)


def _room(check: BoardCheck, board: Board) -> Iterator[Finding]:
    if board.items_count is None or not board.items_limit:
        return
    used = f"{check.title}: {board.items_count:,} of at most {board.items_limit:,} items are on the board."
    mend = "Archive items on the board, or ask Monday for a higher limit."
    if board.items_count >= board.items_limit:
        yield Finding(False, f"{used} No more can be made.", mend, "board")
    elif board.items_count >= NEARLY_FULL * board.items_limit:
        yield Finding(True, used, mend, "board", warning=True)
    else:
        yield Finding(True, used, about="board")


def _group(check: BoardCheck, board: Board) -> Iterator[Finding]:
    if check.group_id and check.group_id not in board.groups:
        what = f"{check.title}: the group {check.group_id}, to which new items go, is archived or deleted."
        yield Finding(
            False, what, f"Restore the group on the board, or let another one be chosen: {_SET_UP}", "board"
        )


def _columns(check: BoardCheck, board: Board) -> Iterator[Finding]:
    wrong = 0
    for column_id, wanted in check.columns.items():
        if column_id == NAME_COLUMN:
            continue
        trouble = list(
            _column(f"{check.title}: column “{wanted.title}” ({column_id})", wanted, board, column_id)
        )
        wrong += sum(not finding.ok for finding in trouble)
        yield from trouble
    if not wrong:
        yield Finding(
            True, f"{check.title}: all {len(check.columns)} mapped columns are there.", about="columns"
        )


def _column(name: str, wanted: ColumnCheck, board: Board, column_id: str) -> Iterator[Finding]:
    column = board.column(column_id)
    mend = f"Restore it on the board, or map the field to another column. {_SET_UP}"
    if column is None:
        yield Finding(False, f"{name} is missing.", mend, "columns")
    elif column.type not in wanted.types:
        what = f"{name} is of type {column.type}, not {' or '.join(wanted.types)}."
        yield Finding(False, what, mend, "columns")
    elif column.type == RELATION and wanted.target_board not in column.target_boards:
        what = f"{name} doesn't lead to board {wanted.target_board or '(none is set up)'}."
        mend = "On the board, open the column's settings and connect that board too."
        yield Finding(False, what, mend, "columns")
    elif wanted.labels is not None and (gone := wanted.labels - labels_of(column.settings)):
        what = f"{name} has lost the labels {', '.join(sorted(gone))}."
        mend = f"Records that hold one can't be written until it is there again, or its new name is known. {_SET_UP}"
        yield Finding(True, what, mend, "columns", warning=True)


def _webhooks(api: Api, check: BoardCheck, board_id: str) -> Iterator[Finding]:
    try:
        existing = read_webhooks(api, board_id)
    except MondayError as error:
        yield Finding(False, f"{check.title}: the webhooks can't be read.", error.sentence, "webhooks")
        return
    ours = Counter(event for hook_id, event in existing.items() if hook_id in set(check.hook_ids))
    missing = [event for event in WEBHOOK_EVENTS if event not in ours]
    if missing:
        yield Finding(
            False, f"{check.title}: no webhook of ours for {', '.join(missing)}.", _SET_UP, "webhooks"
        )
    else:
        yield Finding(True, f"{check.title}: all {len(WEBHOOK_EVENTS)} webhooks are there.", about="webhooks")
    yield from _too_many(check, existing, ours)


def _too_many(check: BoardCheck, existing: Mapping[str, str], ours: Counter[str]) -> Iterator[Finding]:
    former = [hook_id for hook_id in check.former_hook_ids if hook_id in existing]
    twice = [event for event, count in ours.items() if count > 1]
    if former:
        what = f"{check.title}: {len(former)} webhooks of ours go to a former address of this installation."
        yield Finding(False, what, f"They are taken away by the set-up. {_SET_UP}", "webhooks")
    if twice:
        what = f"{check.title}: webhooks of ours stand twice, for {', '.join(sorted(twice))}."
        yield Finding(True, what, f"They do no harm but cost time. {_SET_UP}", "webhooks", warning=True)
    others = {event for hook_id, event in existing.items() if hook_id not in {*check.hook_ids, *former}}
    if others >= set(WEBHOOK_EVENTS):
        # So it looks when a board was archived and restored (community topic 86426), and with a second installation.
        what = f"{check.title}: a second full set of webhooks is on the board, and it isn't ours."
        mend = "Another installation may sync this board, or one whose database is lost: delete its webhooks on Monday."
        yield Finding(True, what, mend, "webhooks", warning=True)
