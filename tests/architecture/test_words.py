"""What people read is written once, in the table of words: the engine has codes and values."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from sync.kernel.acts import ACTS
from sync.words.message import Message
from sync.words.table import TEMPLATES
from tests.architecture.test_arrows import ROOT, modules, nodes_of

DOORS = ("conflicts/pages", "sync/admin", "sync/api", "sync/management")
# The modules below the doors that have sentences, and why: tables, and answers to one person, which only the admin's
# log keeps. What others raise is read where it is caught.
WITH_SENTENCES = {
    "sync/words/table.py": "the table itself",
    "sync/kernel/acts.py": "the table of acts: what a button says and does",
    "sync/attention/cause_table.py": "the table of causes",
    "sync/monday/errors.py": "the table of Monday's errors, whose advice the table has as codes",
    "sync/kernel/mails.py": "a door of its own",
    "sync/kernel/schema.py": "for who starts the processes, before there is a database",
    "sync/monday/account.py": "a report about the account, for who enters a token or runs a check",
    "sync/monday/account_probe.py": "a report about Monday, for who runs a check",
    "sync/records/inbox.py": "answers to the sender of a webhook",
    "sync/operations/notifications.py": "a door of its own",
    "sync/operations/chats.py": "the check of an address that somebody enters",
    "sync/operations/file_formats.py": "answers to who uploads a file",
    "sync/operations/workbooks.py": "answers to who uploads a file",
    "sync/operations/import_rows.py": "answers to who uploads a file",
    "sync/operations/setup/connection.py": "answers to who enters a token",
    "sync/operations/setup/selection.py": "answers to who chooses columns",
}
TABLE = ROOT / "sync/words/table.py"
# Codes that a name ends: of a kind of error, a line about a conflict, a way, a wait, a side, a reason.
NAMED = (
    *("advice_", "answered_", "answers_", "because_", "conflict_", "effect_", "field_", "get_back_", "label_"),
    *("waits_", "way_", "stopped_", "refused_", "unfit_", "unmatched_"),
)
OPTIONAL = re.compile(r"\[\[.*?\]\](?!\])")
LABELS = ("Who is this?",)  # of a kind of conflict
# The rooms whose reasons and values of messages are messages, names and numbers, never words of ours.
WITHOUT_CLAUSES = (
    *("sync/merge.py", "sync/fields", "sync/boards", "sync/outbox", "sync/limits", "sync/records", "sync/reconcile"),
    *(
        "sync/monday/columns",
        "sync/monday/board_items.py",
        "sync/monday/conversion.py",
        "sync/monday/item_documents.py",
    ),
    *("sync/state", "sync/queue.py", "sync/operations/comparison.py", "sync/operations/planned_changes.py"),
    "conflicts",
)
# What takes such reasons and values.
WORDED = (
    *("Message", "with_params", "FieldDecision", "decide", "block", "ResolutionRejected", "unlink"),
    *("Reason", "UnknownValue", "AmbiguousSplit", "Unknown", "unknown"),
)
CLAUSE = re.compile(r"\w \w|\w \Z|\A \w")
TABLES = ("sync/kernel/acts.py", "sync/attention/cause_table.py")
COMMAND = re.compile(r"manage\.py |[A-Z]{2}")  # to be typed
QUOTE = re.compile(r"“([^”{…]+…?)”")
SQL = re.compile(r"\b(SELECT|UPDATE|WHEN|THEN|AND) ")
# … is a value; one that a whole clause introduces is a reason, with a full stop of its own.
SENTENCE = re.compile(r"[A-Z“{].*[a-z] .*[.?!]( |\Z)|\A[A-Z]\w*( [a-z]\S*){3,} …\Z", re.DOTALL)


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_for_developers(node: ast.AST) -> bool:
    """Whether what stands in a node is a docstring, an error, a form's help, a check, or a line of Django's own log."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).startswith(("checks.", "authors.log_"))
    return (
        is_docstring(node) or isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg == "help_text")
    )


def texts(path: Path, skips: Callable[[ast.AST], bool] = lambda node: False) -> Iterator[tuple[str, int]]:
    """Each text of a module and its line, without what stands in nodes that are skipped."""
    skipped = {id(part) for node in nodes_of(path) if skips(node) for part in ast.walk(node)}
    for node in nodes_of(path):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values), node.lineno


@cache
def used() -> set[str]:
    """Each text below and in the doors that may be a code."""
    rooms = ("sync", "conflicts", "npd")
    return {text for room in rooms for path in modules(room) if path != TABLE for text, _line in texts(path)}


def test_the_table_has_no_row_that_nothing_uses() -> None:
    assert not [code for code in TEMPLATES if not code.startswith(NAMED) and code not in used()]


def names_in(template: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in Formatter().parse(template) if name}


def messages(path: Path) -> Iterator[tuple[int, list[str], set[str]]]:
    """Each message of a module whose codes and parameters stand there: its line, its codes, its parameters."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("Message", "Reason") and node.args:
            code = node.args[0]
            branches = [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]
            codes = [branch.value for branch in branches if isinstance(branch, ast.Constant)]
            names = {keyword.arg for keyword in node.keywords}
            if codes and None not in names:
                yield node.lineno, [str(code) for code in codes], {str(name) for name in names}


def test_each_message_has_a_row_and_gives_what_that_names() -> None:
    wrong = []
    for path in (path for room in ("sync", "conflicts", "npd") for path in modules(room)):
        for line, codes, names in messages(path):
            templates = [TEMPLATES.get(code, "{its row}") for code in codes]
            needed = set().union(*(names_in(OPTIONAL.sub("", template)) for template in templates))
            known = set().union(*map(names_in, templates))
            if needed - names or names - known:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {codes} {needed - names or names - known}")
    assert not wrong


@pytest.mark.parametrize("value", ["Ann", Message("edits_come_in")])
@pytest.mark.parametrize("optional", [names_in, lambda template: set()])
def test_no_message_has_two_full_stops_a_gap_or_an_open_place(value: str, optional: Callable[[str], set[str]]) -> None:
    needed = {code: names_in(OPTIONAL.sub("", template)) | optional(template) for code, template in TEMPLATES.items()}
    read = {code: Message(code, **dict.fromkeys(names, value)) for code, names in needed.items()}
    assert {code: text for code, text in read.items() if re.search(r"[.?!]\.|\s\.| \Z|  |[{}]|\[\[|\]\]", text)} == {}


def worded(path: Path) -> Iterator[tuple[str, int]]:
    """Each finished sentence of a module that people may read, and its line."""
    for text, line in texts(path, is_for_developers):
        if SENTENCE.search(text) and not SQL.search(text) and text not in LABELS:
            yield text, line


def test_below_the_doors_nothing_is_worded_but_in_the_table() -> None:
    found = {
        str(path.relative_to(ROOT)): list(worded(path)) for room in ("sync", "conflicts") for path in modules(room)
    }
    below = {name: sentences for name, sentences in found.items() if sentences and not name.startswith(DOORS)}
    assert {name: below[name] for name in below if not name.startswith(tuple(WITH_SENTENCES))} == {}
    assert [room for room in WITH_SENTENCES if not any(name.startswith(room) for name in below)] == []


@pytest.mark.parametrize(
    "source",
    [
        'line.sentence = f"Linked “{record}” with its item."',
        'WAITING = "Monday asked to wait. Sync continues by itself."',
        'note = "It has no item on the board."',
        'enqueue(reason="Press “Sync now”, then look again.")',
    ],
)
def test_a_sentence_is_found(tmp_path: Path, source: str) -> None:
    path = tmp_path / "room.py"
    path.write_text(source)
    assert list(worded(path))


def labels() -> set[str]:
    """What pages call their buttons, menus, columns and rows."""
    rooms = (*DOORS, "sync/kernel/acts.py", "sync/choices.py", "config", "npd")
    paths = [path for room in rooms for path in ([ROOT / room] if room.endswith(".py") else modules(room))]
    labels = {text for path in paths for text, _line in texts(path)} | {act.button for act in ACTS.values()}
    for page in (ROOT / "templates").rglob("*.html"):
        labels.update(text.strip() for text in re.findall(r">([^<>{}]+)<", page.read_text()))
    return labels


def test_what_the_tables_quote_is_called_so_on_a_page() -> None:
    tables = [*TEMPLATES.values(), *(text for name in TABLES for text, _line in texts(ROOT / name))]
    quoted = {quote for text in tables for quote in QUOTE.findall(text)}
    assert {"Sync now", "Set up…"} <= quoted
    assert {quote for quote in quoted - labels() if not COMMAND.match(quote)} == set()


def test_below_the_doors_no_button_is_named_but_in_the_tables() -> None:
    buttons = {"Set up…", *(name for act in ACTS.values() for name in (act.label, act.button))}
    paths = {str(path.relative_to(ROOT)): path for room in ("sync", "conflicts") for path in modules(room)}
    found = {
        name: quotes
        for name, path in paths.items()
        if not name.startswith((*DOORS, *TABLES, "sync/words/table.py", "sync/monday/errors.py"))
        and (quotes := {quote for text, _line in texts(path, is_docstring) for quote in QUOTE.findall(text)} & buttons)
    }
    assert found == {}


def clauses(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Each clause that a reason or a message's value is made of, also by way of a name."""
    nodes = list(nodes)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    worded = [call for call in calls if ast.unparse(call.func).split(".")[-1] in WORDED]
    given = [value for call in worded for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    names = {ast.unparse(value).split(".")[-1] for value in given if isinstance(value, ast.Name | ast.Attribute)}
    names |= {"reason", "restore_reason", "rule"}
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            given += [node.value for target in targets if ast.unparse(target).split(".")[-1] in names]
        elif isinstance(node, ast.Dict):
            given += [
                value for key, value in zip(node.keys, node.values, strict=True) if key and ast.unparse(key) == "'rule'"
            ]
    for text in (part for value in given for part in ast.walk(value)):
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and CLAUSE.search(text.value):
            yield text.value, text.lineno


@pytest.mark.parametrize("room", WITHOUT_CLAUSES)
def test_a_reason_and_a_value_of_a_message_are_no_words_of_ours(room: str) -> None:
    paths = [ROOT / room] if room.endswith(".py") else modules(room)
    assert paths
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in paths
        if not str(path.relative_to(ROOT)).startswith(DOORS)
        for text, line in clauses(nodes_of(path))
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'field_plan.decide(Action.PUSH, "new on Monday")',
        'FieldDecision(Action.PUSH, f"{reason}; NPD wins")',
        'Message("transfer", reason="mirrored one way")',
        'why = "they are the same"\nMessage("unlinked", why=why)',
        'cause = {"rule": f"an item without a record: {kind}"}',
        'field.restore_reason = "a person chose it" if is_gone else None',
    ],
)
def test_a_clause_is_found(source: str) -> None:
    assert list(clauses(ast.walk(ast.parse(source))))
