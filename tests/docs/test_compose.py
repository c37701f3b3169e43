"""The image and docker-compose.yml, as far as they can be held without an engine; Compose judges where it is."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.embedded.plan import worker_command
from sync.connectors.monday.uploads import UPLOAD_TIMEOUT
from tests.docs.test_docs import FOR_COMPOSE, HANDED_OVER, variables_in_the_example, variables_read

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = ("web", "worker", "beat", "sandbox")
SET_HERE = {
    "DATABASE_URL": "the database of this file",
    "REDIS_URL": "the broker of this file",
    "CELERY_BROKER_URL": "the broker of this file",
    "PORT": "inside always 8000; .env's PORT is the host's",
    "SANDBOX_PORT": "inside always 8001; .env's SANDBOX_PORT is the host's",
    "STATIC_MANIFEST": "set by the image, which has collected the files",
    "HEARTBEAT_DIR": "set by the image",
}
"""Variables of .env that the containers don't take from there, and why."""
ASKED = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)


def dockerfile() -> list[list[str]]:
    """The image's instructions, each as its words."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_the_example_that_the_program_reads_reaches_the_containers(
    compose: dict[str, Any], name: str
) -> None:
    read = {found for path in (ROOT / "config").rglob("*.py") for found in variables_read(path)}
    expected = (read & variables_in_the_example()) - set(SET_HERE)
    environment = compose["services"][name]["environment"]
    handed_on = {key for key, value in environment.items() if str(value).startswith(f"${{{key}:")}
    assert handed_on == expected
    assert set(environment) - handed_on <= set(SET_HERE)
    assert not HANDED_OVER & set(environment)


def test_every_variable_that_the_file_asks_for_is_in_the_example() -> None:
    asked = {name for name, _, _ in ASKED.findall(FILE.read_text())}
    procfile = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "Procfile").read_text()))
    assert not asked - variables_in_the_example() - procfile
    assert asked >= FOR_COMPOSE


def test_what_dotenv_leaves_out_is_as_if_it_were_not_set(compose: dict[str, Any]) -> None:
    environment = compose["services"]["web"]["environment"]
    given = {
        "SECRET_KEY": "s" * 50,
        "DATABASE_URL": "postgresql://u@h/d",
        "REDIS_URL": "redis://h/0",
        "PORT": "8000",
    }
    empty = {name: "" for name, value in environment.items() if str(value).endswith(":-}")}
    assert len(empty) > 20
    assert settings_with(given | empty) == settings_with(given)


def settings_with(env: dict[str, str]) -> dict[str, str]:
    """All settings as a process reads them that has these variables and no .env."""
    code = (
        "import json, environ; environ.Env.read_env = lambda *a, **k: None\n"
        "import config.environment as e; e.running = lambda *a: {}\n"
        "from config import settings as s\n"
        "print(json.dumps({n: repr(getattr(s, n)) for n in dir(s) if n.isupper()}))"
    )
    bare = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "config.settings"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=bare | env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return {name: value for name, value in found.items() if " at 0x" not in value}


@pytest.mark.parametrize("name", [*OURS, "postgres", "redis"])
def test_every_service_that_stays_is_checked_and_started_again(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_the_check_of_ours_is_a_program_of_the_image(compose: dict[str, Any], name: str) -> None:
    check = compose["services"][name]["healthcheck"]
    assert check["test"] == ["CMD", "python", "-I", "config/health.py", name]
    result = subprocess.run(
        [sys.executable, *check["test"][2:]],
        cwd=ROOT,
        env={"PORT": "9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert len(result.stderr) > 10


def test_what_waits_for_health_waits_for_somebody_who_has_a_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            assert name in services
            assert "profiles" not in services[name]
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert (wait["condition"], services[name]["restart"]) == (
                    "service_completed_successfully",
                    "no",
                )


def test_the_sandbox_comes_by_its_profile_only(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "profiles" in service] == ["sandbox"]


def test_the_processes_run_as_in_the_procfile_and_as_make_run_starts_them(compose: dict[str, Any]) -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    for name in ("web", "worker", "beat"):
        command = " ".join(compose["services"][name]["command"])
        assert command == lines[name].replace('"', "")
    plain = [
        word.replace("${WORKER_CONCURRENCY:-2}", "2") for word in compose["services"]["worker"]["command"]
    ]
    assert plain == worker_command()[2:]


def test_a_worker_is_given_the_time_that_its_longest_call_may_take(compose: dict[str, Any]) -> None:
    """It ends after the call in the air; see docs/decisions/0046-graceful-stop.md."""
    given = seconds(compose["services"]["worker"]["stop_grace_period"])
    assert UPLOAD_TIMEOUT + 10 < given < 300


def test_the_image_runs_as_nobody_special_and_holds_what_the_program_is_made_of() -> None:
    lines = dockerfile()
    users = [words[1] for words in lines if words[0] == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert lines[-1][0] == "CMD"
    copied = {source for words in lines if words[0] == "COPY" for source in words[1:-1]}
    assert all((ROOT / source).exists() for source in copied)
    rooms = {
        "config",
        "npd",
        "sync",
        "conflicts",
        "sandbox",
        "templates",
        "static",
        "manage.py",
        "requirements.txt",
    }
    assert not rooms - copied


def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    command = compose_command()
    if command is None:
        pytest.skip("no docker compose on this machine: its own judgement of docker-compose.yml is missing")
    env = os.environ | {"POSTGRES_PASSWORD": "p", "SECRET_KEY": "s"}
    nothing = tmp_path / "empty.env"
    nothing.touch()
    result = subprocess.run(
        [*command, "--env-file", str(nothing), "--profile", "sandbox", "config", "--quiet"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def compose_command() -> list[str] | None:
    """How Compose is called here; None where it isn't installed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(command[0]):
            continue
        if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    return None
