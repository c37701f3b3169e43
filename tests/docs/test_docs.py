"""What the documentation names exists: files, headings, commands, options, variables, tables."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class

from config.environment import SECRETS, VARIABLES
from tests.architecture.test_arrows import FLOORS
from tests.plugin import ON_REAL_SERVERS
from tests.support.api_schema import document

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
OURS = ("npd", "sync", "conflicts")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<(?:img|a|source)\b[^>]*\b(?:src|href|srcset)=\"([^\"]+)\"")
MAKE = re.compile(r"^(?:\$ |[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", re.MULTILINE)
MANAGE = re.compile(r"manage\.py ([a-z_]+)")
# Given by `make run` to its own processes; nobody has to set them.
HANDED_OVER = {"EMBEDDED", "DEMO"}
FOR_COMPOSE = {"POSTGRES_PASSWORD"}
VARIABLE_READ = re.compile(r"\benv\(\"(\w+)\"\)")
# Says where things are: the files of a row in its tables contain what the row names.
MAP = "docs/architecture.md"


@cache
def prose(page: Path) -> str:
    """The page without its code blocks, where a bracket is no link."""
    return FENCED.sub("", page.read_text())


@cache
def code(page: Path) -> str:
    """The page's code blocks and spans, one a line."""
    text = page.read_text()
    return "\n".join([*FENCED.findall(text), *SPAN.findall(FENCED.sub("", text))])


@cache
def headings(page: Path) -> set[str]:
    """GitHub's anchors of the page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[str]:
    for markdown, html in LINK.findall(prose(page)):
        target = markdown or html
        if not re.match(r"[a-z]+:", target):
            yield target


def our_commands() -> set[str]:
    return {name for name, app in get_commands().items() if app in OURS}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def variables_in_the_example() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def wrong(faults_of: Callable[[Path], Iterable[str]]) -> list[str]:
    return [f"{page.relative_to(ROOT)}: {fault}" for page in PAGES for fault in faults_of(page)]


def test_every_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    def dead(page: Path) -> Iterator[str]:
        for target in links(page):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in headings(file)):
                yield target

    assert not wrong(dead)


@pytest.mark.parametrize("name", ON_REAL_SERVERS)
def test_every_test_that_runs_on_real_servers_too_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    assert f"def {test.partition('[')[0]}" in (ROOT / "tests" / path).read_text()


def rows_of_tables(page: str) -> list[str]:
    return [line for line in prose(ROOT / page).splitlines() if line.startswith("| ")]


def test_the_architecture_names_the_floors_in_their_order() -> None:
    """From the top to the ground, as drawn."""
    rows = [re.match(r"\| \[(\w+)\]\(\.\./(?:sync|conflicts)/", row) for row in rows_of_tables(MAP)]
    assert tuple(row[1] for row in rows if row) == FLOORS[::-1]


def test_the_table_of_places_is_short_and_names_what_is_there() -> None:
    """Each path exists, and each name occurs in a file of its row."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where do I change …")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) <= 25
    assert not [row for row in rows if len(row) > 200]
    for row in rows:
        spans = [span for span in SPAN.findall(row) if " " not in span]
        paths = [ROOT / span for span in spans if "/" in span or "." in span]
        assert not [path for path in paths if not path.exists()], row
        files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
        places = "\n".join(file.read_text() for file in files)
        assert not [span for span in spans if re.fullmatch(r"\w+", span) and span not in places], row


def test_every_target_command_and_option_that_is_named_exists() -> None:
    targets, commands = make_targets(), set(get_commands())
    help_texts = {
        name: load_command_class(get_commands()[name], name).create_parser("manage.py", name).format_help()
        for name in our_commands()
    }

    def missing(page: Path) -> Iterator[str]:
        text = code(page)
        yield from set(MAKE.findall(text)) - targets
        yield from set(MANAGE.findall(text)) - commands
        for name, help_text in help_texts.items():
            for options in re.findall(rf"\b{name}((?: --[a-z-]+)+)", text):
                yield from (f"{name} {option}" for option in options.split() if option not in help_text)

    assert not wrong(missing)


def test_every_command_of_ours_is_in_the_reference() -> None:
    text = code(ROOT / "docs/reference/commands.md")
    assert not [name for name in our_commands() if not re.search(rf"\b{name}\b", text)]
    assert not make_targets() - set(MAKE.findall(text)) - {"python"}


def test_the_example_environment_names_exactly_what_the_settings_read() -> None:
    assert VARIABLES.keys() - HANDED_OVER | FOR_COMPOSE == variables_in_the_example()
    assert set(SECRETS) <= VARIABLES.keys()
    variables = {name for path in (ROOT / "config").glob("*.py") for name in VARIABLE_READ.findall(path.read_text())}
    assert variables == VARIABLES.keys()


def test_the_example_environment_has_values_that_are_taken_and_each_default() -> None:
    examples = dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    values = {name: VARIABLES[name][0](text) for name, text in examples.items()}
    defaults = {name: default for name, (_, default) in VARIABLES.items() if default and name not in HANDED_OVER}
    assert defaults.items() <= values.items()


def test_the_reference_names_every_table_of_ours() -> None:
    text = code(ROOT / "docs/reference/tables.md")
    models = [model._meta for app in OURS for model in apps.get_app_config(app).get_models()]
    tables = {model.db_table for model in models if model.managed}
    assert not {table for table in tables if not re.search(rf"\b{table}\b", text)}


def test_the_newest_version_of_the_changelog_is_that_of_the_package_and_the_images() -> None:
    versions = re.findall(r"^## \[(\d[\d.]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    package = re.findall(r"^version = \"(.+)\"$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    images = re.findall(r"image\.version=\"(.+?)\"", (ROOT / "Dockerfile").read_text())
    assert {*package, *images} == {versions[0]}


def test_no_decision_is_missing_from_the_list_and_none_is_longer_than_a_page() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [page.name[:4] for page in decisions]
    assert len(set(numbers)) == len(numbers)
    listed = set(links(ROOT / "docs/decisions/README.md"))
    assert {page.name for page in decisions} <= listed
    assert not [page.name for page in decisions if len(page.read_text().splitlines()) > 40]


PAGE = Path(__file__).resolve().parents[2] / "docs/reference/http.md"
BEGIN, END = "<!-- operations: written by its test, tests/docs/test_docs.py -->\n", "<!-- /operations -->"
PREFIX = "/api/v1/"
LIKE_CONTACTS = "organizations"


def listed() -> str:
    """One row per subject with its addresses and methods; types like contacts are left out."""
    paths = {path.removeprefix(PREFIX): " ".join(map(str.upper, item)) for path, item in document()["paths"].items()}
    rows: dict[str, list[str]] = {}
    for path, methods in paths.items():
        if not path.startswith(LIKE_CONTACTS) or path.replace(LIKE_CONTACTS, "contacts") not in paths:
            subject = re.match(r"(?:sync/)?[^/]+/?", path)[0]  # type: ignore[index]
            ending = path.removeprefix(subject)
            rows.setdefault(subject, []).append(f"`{ending}` {methods}" if ending else methods)
    written = [f"| `{subject}` | {' · '.join(addresses)} |" for subject, addresses in rows.items()]
    return "\n".join(["", "| under | addresses |", "|---|---|", *written, "", ""])


def test_the_reference_lists_every_address_of_the_api() -> None:
    before, table = PAGE.read_text().split(BEGIN)
    written, after = table.split(END)
    if os.environ.get("RECORD") == "1":
        PAGE.write_text(f"{before}{BEGIN}{listed()}{END}{after}")
        return
    assert written == listed(), "where that is meant: RECORD=1 make test ARGS=tests/docs/test_docs.py"
