"""The systemd example in ops/ starts what the Procfile starts; the operator's page names commands that work."""

import configparser
import re
import shlex
from pathlib import Path

from config.environment import SECRETS
from tests.support.servers import ROOT

UNIT = ROOT / "ops" / "npd-worker.service"


def words(command: str) -> list[str]:
    """A command's words, with N for the number of worker processes."""
    return [re.sub(r"(--concurrency=).*", r"\1N", word) for word in shlex.split(command)]


def test_the_unit_starts_what_the_procfile_starts_and_leaves_the_pool_to_the_worker() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    service = dict(parser["Service"])
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    program, *arguments = words(service["ExecStart"])
    assert ["exec", Path(program).name, *arguments] == words(lines["worker"])
    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert "manage.py migrate --check" in service["ExecStartPre"]


def test_no_command_of_the_pages_shows_a_secret_to_everybody_on_the_machine() -> None:
    """ps shows a program's arguments; printf and : are built into the shell."""
    secret = re.compile(rf"\$\{{?({'|'.join(SECRETS)})\b")
    by_shell = re.compile(r"""printf '[^']*' "\$\w+"|: "\$\{\w+:[^}]*\}\"""")
    commands = [
        line
        for page in (ROOT / "docs").rglob("*.md")
        for line in re.findall(r"^ *[$#] (.*)$", page.read_text(), re.MULTILINE)
    ]
    assert len(commands) > 10
    assert [line for line in commands if secret.search(by_shell.sub("", line))] == []
