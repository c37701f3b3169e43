"""Hostile files at the reader: each ends with its reason, within a tenth of the memory that a reader may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from npd.imports.files import FileTable, ImportFileError, ReaderDied, ReadLimits, read_table
from tests.importing.attacks import ATTACKS, HEAD, MAIN, workbook

PLENTY = ReadLimits(seconds=600, memory_mb=512)
LITTLE = ReadLimits(seconds=600, memory_mb=128)
"""No attack may come to need the limit of memory: what refuses it stands before that."""


def table(content: bytes, limits: ReadLimits = LITTLE) -> FileTable:
    return read_table(content, titles={"name", "email"}, limits=limits, on_rows=lambda rows: None)


def code(content: bytes, limits: ReadLimits = LITTLE) -> str:
    """Why a file is refused."""
    with pytest.raises(ImportFileError) as refused:
        table(content, limits)
    return refused.value.code


@pytest.mark.parametrize("name", list(ATTACKS))
def test_a_spreadsheet_that_would_take_minutes_or_gigabytes_is_refused_for_its_reason(name: str) -> None:
    made, reason = ATTACKS[name]
    content = made()
    assert len(content) < 2_000_000
    assert code(content) == reason


def test_the_harmless_file_that_the_attacks_are_made_of_is_read() -> None:
    assert [row.cells for row in table(workbook()).rows] == [["Ann"]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n" * 9_999_999 + b"x", "too_many_lines"),
        (b",".join([b"x"] * 1_000_000) + b"\n", "too_many_columns"),
        ((b"," * 150 + b"\n") * 50_000, "too_many_cells"),
    ],
    ids=["blank lines", "a million columns", "empty cells"],
)
def test_a_csv_file_that_would_take_long_is_refused_for_its_reason(content: bytes, reason: str) -> None:
    assert code(content, PLENTY) == reason


def test_a_reader_that_needs_more_memory_than_it_may_take_says_so() -> None:
    assert code(b"Name\n" + b"A" * 9_000_000, ReadLimits(seconds=600, memory_mb=64)) == "too_much_memory"
    text = f"<si><t>{'a' * 90}</t></si>" * 1_000
    shared = [f'<sst xmlns="{MAIN}">', *([text] * 400), "</sst>"]
    assert code(workbook(shared=shared), ReadLimits(seconds=600, memory_mb=48)) == "too_much_memory"


def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    interpreter(tmp_path, monkeypatch, f"echo $$ > {pid}; exec sleep 1000")
    assert code(b"Name\nAnn\n", ReadLimits(seconds=0.5, memory_mb=128)) == "took_too_long"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text() or -1), 0)


@pytest.mark.parametrize(
    ("script", "reason"), [("kill -XCPU $$", "took_too_long"), ("kill -ABRT $$", "too_much_memory")]
)
def test_a_reader_that_a_limit_ended_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    interpreter(tmp_path, monkeypatch, f"ulimit -c 0; {script}")
    assert code(b"Name\nAnn\n") == reason


def test_a_reader_that_is_killed_or_answers_half_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for script in ("kill -9 $$", "exit 1", """echo '{"how": {}}'; echo '[1, ["Name"], {}]'"""):
        interpreter(tmp_path, monkeypatch, script)
        with pytest.raises(ReaderDied):
            table(b"Name\nAnn\n")


def test_an_answer_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter(tmp_path, monkeypatch, "exec cat /dev/zero")
    assert code(b"Name\nAnn\n") == "too_much_text"


def test_the_reader_is_given_no_secret_and_no_django(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret")
    interpreter(tmp_path, monkeypatch, f"env > {tmp_path}/env; exit 1")
    with pytest.raises(ReaderDied):
        table(b"Name\nAnn\n")
    assert "SECRET" not in (tmp_path / "env").read_text()
    monkeypatch.undo()
    loaded = "import sys, npd.imports.file_reader; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_a_formula_with_a_result_an_empty_one_too_is_a_value() -> None:
    cells = (
        '<row r="3"><c r="A3"><f>1+1</f><v>2</v></c></row><row r="4"><c r="A4" t="str"><f>""</f><v></v></c>'
        '<c r="B4"><f>1</f></c></row><row r="5"><c r="A5" t="e"><v>#REF!</v></c></row>'
    )
    read_ = table(workbook([f'<worksheet xmlns="{MAIN}"><sheetData>{HEAD}{cells}</sheetData></worksheet>']))
    assert [(row.number, row.cells, row.problems) for row in read_.rows[1:]] == [
        (3, ["2"], {}),
        (4, ["", ""], {1: "formula"}),
        (5, [""], {0: "#REF!"}),
    ]


def interpreter(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script play the reader."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
