"""An examination of the connection: token, version, boards, columns, webhooks, and how each is mended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sync.connectors.monday.answers import Answer
from sync.connectors.monday.boards import Board, read_boards
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.errors import MondayError
from sync.connectors.monday.hooks import WEBHOOK_EVENTS, read_webhooks
from sync.connectors.monday.items import NAME_COLUMN

PROBE = "query Examination { me { id name } version { kind value } versions { kind value } }"
_SET_UP = "Run `manage.py monday_setup`."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is well, what it is, and how it is mended (empty if well)."""

    ok: bool
    what: str
    mend: str = ""


@dataclass(frozen=True)
class BoardCheck:
    """What a board should have: by column id its title and type; `hook_ids` are the webhooks that we made."""

    title: str
    board_id: str | None
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    hook_ids: Sequence[str] = ()


def examine(client: MondayClient, boards: Sequence[BoardCheck]) -> list[Finding]:
    """Look at everything that can be looked at; errors of Monday's become findings and are not raised."""
    try:
        answer = client.execute(PROBE, {})
        found = read_boards(client, [check.board_id for check in boards if check.board_id])
    except MondayError as error:
        return [Finding(False, error.message, error.sentence)]
    findings = [*_token(answer), *_version(answer, client.version)]
    for check in boards:
        findings += _examine_board(client, check, found.get(check.board_id or ""))
    return findings


def _token(answer: Answer) -> Iterator[Finding]:
    me = (answer.data or {}).get("me")
    if me:
        yield Finding(True, f"The token is valid; it acts as {me.get('name')} (user {me.get('id')}).")
    else:
        mend = answer.errors[0].sentence if answer.errors else "Set MONDAY_API_KEY to a token of a user."
        yield Finding(False, "The token belongs to no user.", mend)


def _version(answer: Answer, asked: str) -> Iterator[Finding]:
    data = answer.data or {}
    served = str(answer.api_version or (data.get("version") or {}).get("value") or "")
    kinds = {str(entry["value"]): str(entry["kind"]) for entry in data.get("versions") or [] if entry}
    if served != asked:
        mend = (
            "Set MONDAY_API_VERSION to a version that Monday serves; an old one is replaced without an error."
        )
        yield Finding(
            False, f"API version {asked} was asked for, {served or 'an unknown one'} answered.", mend
        )
    elif kinds.get(asked) == "deprecated":
        yield Finding(
            False, f"API version {asked} is deprecated.", "Move to the version that Monday calls current."
        )
    else:
        yield Finding(True, f"API version {asked} ({kinds.get(asked, 'kind not told')}) answers.")


def _examine_board(client: MondayClient, check: BoardCheck, board: Board | None) -> Iterator[Finding]:
    if not check.board_id:
        yield Finding(False, f"{check.title}: no board is set.", _SET_UP)
    elif board is None:
        mend = f"Give the token's user access to it, or correct the id. {_SET_UP}"
        yield Finding(False, f"{check.title}: board {check.board_id} isn't there, or is hidden.", mend)
    elif not board.is_active:
        mend = "Restore the board on Monday, or set up another one."
        yield Finding(False, f"{check.title}: board {board.id} is {board.state}.", mend)
    else:
        yield Finding(True, f"{check.title}: board “{board.name}” ({board.id}) is active.")
        yield from _columns(check, board)
        yield from _webhooks(client, check, board.id)


def _columns(check: BoardCheck, board: Board) -> Iterator[Finding]:
    wrong = 0
    for column_id, (title, column_type) in check.columns.items():
        if column_id == NAME_COLUMN or _fits(board, column_id, column_type):
            continue
        wrong += 1
        column = board.column(column_id)
        what = f"is of type {column.type}, not {column_type}" if column else "is missing"
        mend = f"Restore it on the board, or map the field to another column. {_SET_UP}"
        yield Finding(False, f"{check.title}: column “{title}” ({column_id}) {what}.", mend)
    if not wrong:
        yield Finding(True, f"{check.title}: all {len(check.columns)} mapped columns are there.")


def _fits(board: Board, column_id: str, column_type: str) -> bool:
    column = board.column(column_id)
    return column is not None and column.type == column_type


def _webhooks(client: MondayClient, check: BoardCheck, board_id: str) -> Iterator[Finding]:
    try:
        existing = read_webhooks(client, board_id)
    except MondayError as error:
        yield Finding(False, f"{check.title}: the webhooks can't be read.", error.sentence)
        return
    ours = {event for hook_id, event in existing.items() if hook_id in set(check.hook_ids)}
    missing = [event for event in WEBHOOK_EVENTS if event not in ours]
    if missing:
        yield Finding(False, f"{check.title}: no webhook of ours for {', '.join(missing)}.", _SET_UP)
    else:
        yield Finding(True, f"{check.title}: all {len(WEBHOOK_EVENTS)} webhooks are there.")
