"""systemd units and Kubernetes manifest in ops/ start what the Procfile starts, with variables that are read."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import resolve

from tests.docs.test_docs import variables_in_the_example

ROOT = Path(__file__).resolve().parents[2]
OURS = ("web", "worker", "beat")
PROCFILE = {"WORKER_CONCURRENCY"}
POSTGRES = {"PGOPTIONS"}
GRACE = 150


def words(command: str) -> list[str]:
    """A command without what stands in each place for the number of the worker's processes."""
    return [re.sub(r"(--concurrency=).*", r"\1N", word) for word in shlex.split(command)]


def started_by_the_procfile(name: str) -> list[str]:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    return words(lines[name])


class Unit:
    """A unit of systemd, in which a key may stand more than once."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "ops" / "systemd" / f"npd-{name}.service").read_text()
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(self.text)
        self.sections = {section: dict(parser[section]) for section in parser.sections()}
        self.service = self.sections["Service"]

    def all(self, key: str) -> list[str]:
        """Every value of a key."""
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_a_unit_starts_what_the_procfile_starts(name: str) -> None:
    unit = Unit(name)
    program, *rest = words(unit.service["ExecStart"])
    assert [Path(program).name, *rest] == started_by_the_procfile(name)
    assert "npd-migrate.service" in unit.sections["Unit"]["After"]
    assert unit.sections["Install"]["WantedBy"] == "multi-user.target"


def test_the_workers_unit_leaves_its_pool_to_it_and_gives_it_time() -> None:
    worker = Unit("worker").service
    assert (worker["KillMode"], int(worker["TimeoutStopSec"])) == ("mixed", GRACE)


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_a_unit_names_only_variables_that_are_read_and_runs_as_nobody_special(name: str) -> None:
    unit = Unit(name)
    named = {assignment.strip('"').partition("=")[0] for assignment in unit.all("Environment")}
    assert named <= variables_in_the_example() | PROCFILE | POSTGRES
    assert unit.service["EnvironmentFile"] == "/etc/npd-sync.env"
    assert unit.service["User"] == "npd"
    assert unit.service["NoNewPrivileges"] == "true"


def test_the_migrating_unit_ends_and_is_run_before_the_others() -> None:
    unit = Unit("migrate")
    assert unit.service["Type"] == "oneshot"
    commands = [" ".join(command.split()[1:3]) for command in unit.all("ExecStart")]
    assert commands == ["manage.py migrate", "manage.py collectstatic"]


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "ops" / "kubernetes" / "npd-sync.yaml").read_text()))


def of_kind(manifest: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifest if one["kind"] in kinds}


def pods(manifest: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each Job and Deployment runs, by its process's name."""
    found = of_kind(manifest, "Job", "Deployment")
    return {name.removeprefix("npd-"): one["spec"]["template"]["spec"] for name, one in found.items()}


def container(manifest: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = pods(manifest)[name]["containers"]
    assert found["name"] == name
    return dict(found)


@pytest.mark.parametrize("name", OURS)
def test_a_deployment_starts_what_the_procfile_starts(manifest: list[dict[str, Any]], name: str) -> None:
    assert words(shlex.join(container(manifest, name)["command"])) == started_by_the_procfile(name)


def test_everything_runs_one_image_and_the_job_migrates(manifest: list[dict[str, Any]]) -> None:
    assert len({container(manifest, name)["image"] for name in (*OURS, "migrate")}) == 1
    assert container(manifest, "migrate")["command"][:3] == ["python", "manage.py", "migrate"]


def probes(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if name in found:
            yield found[name]


def test_webs_probes_ask_addresses_that_are_there_at_its_port(manifest: list[dict[str, Any]]) -> None:
    web = container(manifest, "web")
    asked = [probe["httpGet"] for probe in probes(web)]
    assert len(asked) == 3
    assert {resolve(one["path"]).func.__module__ for one in asked} == {"sync.api.service_endpoints"}
    assert {one["port"] for one in asked} <= {port["name"] for port in web["ports"]}
    (service,) = of_kind(manifest, "Service").values()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= {port["name"] for port in web["ports"]}
    (settings,) = of_kind(manifest, "ConfigMap").values()
    assert {str(port["containerPort"]) for port in web["ports"]} == {settings["data"]["PORT"]}


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_the_others_probes_read_their_sign_of_life(manifest: list[dict[str, Any]], name: str) -> None:
    found = container(manifest, name)
    commands = [probe["exec"]["command"] for probe in probes(found)]
    assert commands == [["python", "-I", "config/health.py", name]] * 2
    folder = {one["name"]: one["value"] for one in found["env"]}["HEARTBEAT_DIR"]
    assert folder in [mount["mountPath"] for mount in found["volumeMounts"]]


def test_a_worker_has_the_time_that_its_last_call_may_take(manifest: list[dict[str, Any]]) -> None:
    assert pods(manifest)["worker"]["terminationGracePeriodSeconds"] == GRACE


def test_the_manifest_names_only_variables_that_are_read(manifest: list[dict[str, Any]]) -> None:
    (secret,) = of_kind(manifest, "Secret").values()
    (settings,) = of_kind(manifest, "ConfigMap").values()
    named = {*secret["stringData"], *settings["data"]}
    named |= {one["name"] for name in (*OURS, "migrate") for one in container(manifest, name).get("env", [])}
    assert named <= variables_in_the_example() | POSTGRES
    assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SITE_URL"} <= named


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_no_pod_is_root_may_write_or_may_ask_the_cluster(manifest: list[dict[str, Any]], name: str) -> None:
    pod, found = pods(manifest)[name], container(manifest, name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = found["securityContext"]
    assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in found["resources"]["limits"]


def test_a_deployment_finds_its_own_pods(manifest: list[dict[str, Any]]) -> None:
    for one in of_kind(manifest, "Deployment").values():
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]


def test_each_file_of_ops_is_on_its_page() -> None:
    page = (ROOT / "docs" / "howto" / "operate.md").read_text()
    restored = sorted(path.name for path in (ROOT / "ops" / "restore").iterdir())
    assert [name for name in restored if f"shell < ops/restore/{name}" not in page] == []


def test_the_backup_command_backs_up_nothing_where_no_database_is_named(tmp_path: Path) -> None:
    """An empty name is the user's own database to pg_dump: a dump of that looks like a backup."""
    text = (ROOT / "docs" / "howto" / "operate.md").read_text()
    (command,) = re.findall(r"^\$ (.*pg_dump .*)$", text, re.MULTILINE)
    called = tmp_path / "called"
    pg_dump = tmp_path / "pg_dump"
    pg_dump.write_text(f'#!/bin/sh\nfor last; do :; done; echo "$last" > {called}\n')
    pg_dump.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert subprocess.run(["sh", "-c", command], check=False, cwd=ROOT, env=env | {"DATABASE_URL": ""}).returncode != 0
    assert not called.exists()
    named = env | {"DATABASE_URL": "postgresql://npd@db.example.org/npd", "DATABASE_PASSWORD": "p@ss"}
    assert subprocess.run(["sh", "-c", command], check=False, cwd=ROOT, env=named).returncode == 0
    assert called.read_text() == "postgresql://npd:p%40ss@db.example.org/npd\n"
