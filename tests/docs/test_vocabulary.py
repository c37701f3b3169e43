"""The words that must not come back: in no template, no sentence of the code, and no page of the documentation.

One thing has one word. A word that the field's standard term has
replaced stands in BANNED with what to say instead; a place where it means something ordinary stands in ALLOWED.
What is stored or called from outside keeps its name, so code in backticks, addresses and identifiers are not read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Texts = Callable[[], Iterator[tuple[str, str]]]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CODE_AND_LINKS = re.compile(r"`[^`\n]*`|\[[\w.-]*/[\w/.-]+\]\([^)]*\)|\]\([^)]*\)|<!--.*?-->", re.DOTALL)
IN_SQL = re.compile(r"\b(?:SELECT|UPDATE|INSERT|FROM|WHERE|AND|ORDER BY)\b|\$|current_setting")

BANNED = {
    r"\b(?:a|the|next|last|each|every|this|no) looks?\b|\blooks? (?:that|which)\b|\blooked at\b": "sync, check; a pass",
    r"\bflow(?:s|ed|ing)?\b": "sync, syncing",
    r"\b(?:is|are|was|were|be|stays?|on) (?:held|hold)\b|\bheld (?:emails?|fields?|values?)\b": "blocked; paused",
    r"\bsettl(?:e|es|ed|ing)\b": "resolve, done",
    r"\b(?:is|are|was|and|,) told\b|\btold (?:here|there|above|apart)\b": "listed, reported",
    r"\bstand(?:s|ing)? (?:still|here|there|now|in|on|at|under|below|twice|alone)\b|\bstandstill\b|\bstood\b": (
        "is, are; stopped"
    ),
    r"\bneeds? a person\b|\b(?:asks?|asked) a person\b|\ba person is asked\b": "needs attention; you are asked",
    r"\b(?:last|was|as|never|ever|both) agreed\b": "last synced",
    r"\bg(?:ives?|ave) way\b": "is overwritten",
    r"\bt(?:aken|akes?|ook|aking) over\b": "updated from Monday; uses",
    r"\bdead letters?\b|\bgiven up\b|\bfor good\b|\ball tries\b": "failed",
    r"\bnext try\b|\b(?:five|all its|the|their) tries\b": "attempts, next attempt",
    r"\bqueue rows?\b": "job",
    r"\bin flight\b|\bin the air\b|\bsnooz": "in progress; a later next attempt",
    r"\bstrangers?\b|\bnobody knows\b|\bnewcomers?\b": "unmatched item",
    r"\b(?:bring|brings|brought|bringing)(?: \w+){0,3} back\b": "restore",
    r"\blet(?:s|ting)?(?: \w+){0,3} go\b(?! on)|\bparted\b": "unlink",
    r"\btombstones?\b|\bgraves?\b": "deleted record",
    r"\bjournal\b|\bledger\b": "activity; sync state",
    r"\bdrawn up\b|\bcarr(?:y|ied|ies|ying)(?: it)? (?:out|on)\b|\banew\b": "draft; done, applied; again",
    r"\ballowances?\b": "API quota",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bpass(?:ed|es)? over\b|\bf(?:ind|ound) out\b": "ignored; auto-detect",
    r"\bweigh(?:s|ed|ing)?\b": "process",
    r"\btwins?\b": "possible duplicate",
    r"\brefused (?:values?|items?)\b|\bMonday refuse[sd]?\b(?! (?:a document|for|what|it for))|\brefused by Monday\b": (
        "rejected by Monday; ignored items"
    ),
    r"\bguard(?:s|ed)?\b": "approval",
    r"\bsamples? of (?:synced|records)\b|\bdrift(?:s|ed)?\b": "verification; difference; board changed",
    r"\bunite[ds]?\b(?! )|\bunite \(": "merge lists",
    r"\bforg(?:et|ets|ot|otten)\b": "delete old data",
    r"\bdoors?\b": "endpoint, endpoints",
    r"\bways? out\b": "options",
    r"\bby the sync\b": "NPD Sync",
    r"\bcandidates?\b": "unmatched item",
    r"\bitem that no record has becomes\b": "create records from new Monday items",
    # As labels; in a sentence they may mean something ordinary.
    r"\bNPD needs a value\b": "it is required in NPD",
    r"^Converter$": "Column type",
    r"^Written$": "Queued",
    r"^a sweep$|\bnot swept\b|\bno sweep for\b|\bby the next sweep\b": "a check for missed changes",
    r"\b(?:that|when) a person (?:decides|retries)\b|\bfor a person to\b": "to resolve; when it is retried",
    r"\ba try that\b": "an attempt",
    r"\be-mails?\b|\bmails?\b": "email",
    r"\btelephones?\b": "phone",
    r"\blog(?:ged|s|ging)? out\b": "sign out",
    r"^in sync$|\b(?:last|never|counts as) in sync\b|^last sync$": "synced; last checked",
    r"\bNo, go back\b": "Go back",
    "’": "'",
    r"^Invalid$|\bRows with problems\b": "Not imported",
}

ANY = re.compile("|".join(BANNED), re.IGNORECASE)

ALLOWED = {
    # Folders and modules by their names.
    "docs/architecture.md": ("| settle | what becomes of each field",),
    "docs/reference/merge.md": ("the tombstone", "a tombstone", "tombstone's"),
    # Monday's own sentence, in either form.
    "sync/monday/graphql.py": ("doesn['’]t grant",),
    # A person forgets a password.
    "templates/429.html": ("forgot your password",),
    "templates/account/login.html": ("forgot your password?",),
    # A folder.
    "sync/admin/notification_pages.py": ("var/mail",),
    # Names of classes.
    "sync/models/__init__.py": ("Tombstone",),
    # A function of the example.
    "docs/howto/sync-another-model.md": ("def settle(",),
    # A state that the API answers.
    "conflicts/api.py": ("partly, settled or undoing",),
    "docs/reference/http.md": ("the state is `settled`",),
    # A state of a delivery that the sandbox's API answers.
    "sandbox/webhooks/deliveries.py": ("given up",),
    # Titles of columns in German and French files.
    "npd/models.py": ("E-Mail-Adresse", "Adresse e-mail"),
    # The name of a version of Monday's API.
    "sandbox/graph/resolvers.py": ("Release candidate",),
}
"""By file, pieces of text in which such a word means something ordinary, and why."""


def templates() -> Iterator[tuple[str, str]]:
    """What people read of the templates."""
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = re.sub(r"\{#.*?#\}|<script.*?</script>|<style.*?</style>", " ", path.read_text(), flags=re.DOTALL)
        quoted = re.findall(r"\{%\s*(?:translate|badge[^%]*)\s+\"([^\"]+)\"", text)
        yield str(path.relative_to(ROOT)), " ".join([*quoted, re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", text)])


def sentences() -> Iterator[tuple[str, str]]:
    """The strings of the code that are sentences or labels: no docstrings, SQL or GraphQL."""
    for folder in ("config", "conflicts", "npd", "sandbox", "sync"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield from ((str(path.relative_to(ROOT)), text) for text in strings(ast.parse(path.read_text())))


def strings(tree: ast.Module) -> Iterator[str]:
    """The strings of a module, an f-string as one with its values left out."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value
        else:
            continue
        if (" " in text.strip() or text.istitle()) and not IN_SQL.search(text):
            yield text


def pages() -> Iterator[tuple[str, str]]:
    """The documentation, but for the record of former days, the changelog."""
    found = [ROOT / "README.md", ROOT / "sandbox" / "README.md", ROOT / "ops" / "README.md", *DOCS.rglob("*.md")]
    for path in found:
        text = without_allowed(str(path.relative_to(ROOT)), path.read_text())  # before the backticks are left out
        yield str(path.relative_to(ROOT)), CODE_AND_LINKS.sub(" ", text)


def without_allowed(path: str, text: str) -> str:
    """The text without the pieces that may stay."""
    for piece in ALLOWED.get(path, ()):
        text = text.replace(piece, " ")
    return text


@pytest.mark.parametrize("texts", [templates, sentences, pages])
def test_no_word_comes_back_that_a_standard_term_has_replaced(texts: Texts) -> None:
    found = []
    for path, text in texts():
        read = without_allowed(path, text)
        if not ANY.search(read):
            continue
        for pattern, instead in BANNED.items():
            for hit in re.finditer(pattern, read, re.IGNORECASE):
                around = " ".join(read[max(0, hit.start() - 40) : hit.end() + 40].split())
                found.append(f"{path}: “{hit[0]}” (say: {instead}) in “… {around} …”")
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_there() -> None:
    for path, pieces in ALLOWED.items():
        lost = [piece for piece in pieces if piece not in (ROOT / path).read_text()]
        assert not lost, path
