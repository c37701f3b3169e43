"""The image and docker-compose.yml, as far as they can be checked without Docker."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml
from django.conf import settings

from config import help_pages
from config.environment import SECRETS
from tests.docs.test_docs import HANDED_OVER
from tests.support.servers import ROOT

FILE = ROOT / "docker-compose.yml"
OURS = ("web", "worker", "beat", "sandbox")
# Variables that the containers don't take from .env, and why.
SET_HERE = {
    "DATABASE_URL": "the database of this file",
    "REDIS_URL": "the broker of this file",
    "CELERY_BROKER_URL": "the broker of this file",
    "SITE_URL": ".env's, else where Caddy answers",
    "TRUSTED_PROXIES": "Caddy",
    "PORT": "inside always 8000",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)


def stages() -> dict[str, list[list[str]]]:
    """The Dockerfile's stages in order, each a list of instructions split into words."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    stages_by_name: dict[str, list[list[str]]] = {}
    for words in (line.split() for line in text.splitlines() if line and not line.startswith("#")):
        if words[0] == "FROM":
            stages_by_name[words[-1]] = []
        elif stages_by_name:
            stages_by_name[list(stages_by_name)[-1]].append(words)
    return stages_by_name


def sources(stage: str) -> set[str]:
    copies = [words[1:-1] for words in stages()[stage] if words[0] == "COPY"]
    return {source for words in copies if not words[0].startswith("--from") for source in words}


@pytest.mark.parametrize("name", OURS)
def test_all_of_dotenv_reaches_the_containers_but_what_this_file_sets(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert set(service["environment"]) - {f"{variable}_FILE" for variable in SECRETS} == set(SET_HERE)
    assert not HANDED_OVER & set(service["environment"])


def test_nothing_is_published_but_the_proxy_and_the_sandbox_on_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports.pop("caddy") == ["80:80", "443:443"]
    assert sorted(ports) == ["sandbox"]
    assert all(port.startswith("127.0.0.1:") for port in ports["sandbox"])


def test_it_starts_on_one_processor_and_its_data_belong_to_no_folder(compose: dict[str, Any]) -> None:
    """Docker refuses a limit above the machine's processors, and names volumes after the folder of a nameless file."""
    assert compose["name"] == "npd-sync"
    assert max(service.get("cpus", 0) for service in compose["services"].values()) <= 1


def test_the_processes_run_as_in_the_procfile_but_that_only_web_listens_to_its_network(compose: dict[str, Any]) -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    for name in ("web", "worker", "beat"):
        line = lines[name].replace("127.0.0.1:${PORT:-8000}", "0.0.0.0:8000")
        assert ["exec", *compose["services"][name]["command"]] == shlex.split(line)
    by_itself = stages()["app"][-1]
    workers = compose["services"]["web"]["command"]
    assert json.loads(" ".join(by_itself[1:])) == [*workers[:6], *workers[8:]]


def test_a_worker_is_given_the_time_that_its_longest_call_may_take(compose: dict[str, Any]) -> None:
    """It ends after the call in the air; see docs/decisions/0003-one-worker-per-board.md."""
    grace_period = seconds(compose["services"]["worker"]["stop_grace_period"])
    assert settings.MONDAY_TIMEOUT_SECONDS + 10 < grace_period < 300


def test_the_product_image_holds_what_the_program_is_made_of_and_nothing_to_play_with() -> None:
    copied = {name: sources(name) for name in ("program", "sandbox")}
    served = {f"docs/{pattern.removesuffix('/*.md')}" for pattern in help_pages.SERVED}
    assert copied["program"] == {"config", "npd", "sync", "conflicts", "templates", "static", "manage.py"} | served
    assert copied["sandbox"] == {"sandbox"}


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert let_in == set().union(*(sources(name) for name in stages()))
    assert all((ROOT / name).exists() for name in let_in)
