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

from config.environment import SECRETS
from config.web import BODY_BYTES
from tests.docs.test_docs import variables_in_the_example

ROOT = Path(__file__).resolve().parents[2]
OURS = ("web", "worker", "beat")
PROCFILE = {"WORKER_CONCURRENCY"}
POSTGRES = {"PGOPTIONS"}
GRACE = 150
BY_HAND = {"migrate": "migrate", "static": "collectstatic"}


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
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_a_unit_starts_what_the_procfile_starts(name: str) -> None:
    unit = Unit(name)
    program, *rest = words(unit.service["ExecStart"])
    assert [Path(program).name, *rest] == started_by_the_procfile(name)
    assert unit.sections["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("name", OURS)
def test_a_unit_waits_for_the_migrations_and_never_makes_them(name: str) -> None:
    """`make units` plays them under systemd; this holds it where that can't be."""
    unit = Unit(name)
    (before,) = unit.all("ExecStartPre")
    assert "manage.py migrate --check" in before
    assert not set(unit.sections["Unit"]) & {"Requires", "BindsTo", "PartOf", "Requisite"}
    assert "npd-migrate" not in unit.sections["Unit"].get("Wants", "")
    assert (unit.service["Restart"], unit.sections["Unit"]["StartLimitIntervalSec"]) == ("always", "0")


def test_secrets_by_file_reach_every_unit_under_names_that_are_read() -> None:
    text = (ROOT / "ops" / "systemd" / "npd-.service.d" / "secrets.conf").read_text()
    loaded = re.findall(r"^LoadCredential=(\w+):/\S+$", text, re.MULTILINE)
    named = dict(re.findall(r"^Environment=(\w+)_FILE=%d/(\w+)$", text, re.MULTILINE))
    assert loaded == list(named.values())
    assert set(named) <= set(SECRETS)


def test_the_workers_unit_leaves_its_pool_to_it_and_gives_it_time() -> None:
    worker = Unit("worker").service
    assert (worker["KillMode"], int(worker["TimeoutStopSec"])) == ("mixed", GRACE)


@pytest.mark.parametrize("name", [*OURS, *BY_HAND])
def test_a_unit_names_only_variables_that_are_read_and_runs_as_nobody_special(name: str) -> None:
    unit = Unit(name)
    named = {assignment.strip('"').partition("=")[0] for assignment in unit.all("Environment")}
    assert named <= variables_in_the_example() | PROCFILE | POSTGRES
    assert unit.service["EnvironmentFile"] == "/etc/npd-sync.env"
    assert unit.service["User"] == "npd"
    assert unit.service["NoNewPrivileges"] == "true"


@pytest.mark.parametrize(("name", "command"), BY_HAND.items())
def test_what_is_done_once_for_a_version_is_done_by_hand_alone(name: str, command: str) -> None:
    unit = Unit(name)
    assert unit.service["Type"] == "oneshot"
    assert "Install" not in unit.sections
    assert unit.service["ExecStart"].split()[1:3] == ["manage.py", command]


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
    found = [container(manifest, name) for name in (*OURS, "migrate")] + [waits(manifest, name) for name in OURS]
    assert len({one["image"] for one in found}) == 1
    assert container(manifest, "migrate")["command"] == ["python", "manage.py", "migrate", "--noinput"]


def waits(manifest: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = pods(manifest)[name]["initContainers"]
    return dict(found)


@pytest.mark.parametrize("name", OURS)
def test_a_deployment_starts_when_the_job_has_migrated(manifest: list[dict[str, Any]], name: str) -> None:
    waiting, started = waits(manifest, name), container(manifest, name)
    assert "until python manage.py migrate --check; do" in waiting["command"][-1]
    for key in ("envFrom", "securityContext", "volumeMounts", "resources"):
        assert waiting[key] == started[key]


def test_applied_again_no_secret_is_overwritten(manifest: list[dict[str, Any]]) -> None:
    folder = ROOT / "ops" / "kubernetes"
    kinds = [one["kind"] for path in folder.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]
    assert "Secret" not in kinds
    read = {
        ref["secretRef"]["name"]
        for name in (*OURS, "migrate")
        for ref in container(manifest, name)["envFrom"]
        if "secretRef" in ref
    }
    command = f"kubectl create secret generic {' '.join(read)} --from-env-file=secret.env"
    assert command in (ROOT / "docs" / "howto" / "operate.md").read_text()
    assert command in (folder / "secret.env.example").read_text()


@pytest.mark.parametrize("name", ["web", "worker"])
def test_of_two_pods_one_stays_when_a_machine_goes(manifest: list[dict[str, Any]], name: str) -> None:
    labels = {"matchLabels": {"app": "npd-sync", "process": name}}
    budget = of_kind(manifest, "PodDisruptionBudget")[f"npd-{name}"]["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, labels)
    (spread,) = pods(manifest)[name]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["labelSelector"]) == ("kubernetes.io/hostname", labels)
    assert of_kind(manifest, "Deployment")[f"npd-{name}"]["spec"]["replicas"] > 1


def test_the_way_in_leads_to_web_and_takes_an_imports_file(manifest: list[dict[str, Any]]) -> None:
    ingress = yaml.safe_load((ROOT / "ops" / "kubernetes" / "ingress.yaml").read_text())
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = of_kind(manifest, "Service")[path["backend"]["service"]["name"]]
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    (settings,) = of_kind(manifest, "ConfigMap").values()
    assert settings["data"]["SITE_URL"] == f"https://{rule['host']}"
    limit = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(limit.removesuffix("m")) * 1_000_000 >= BODY_BYTES


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
    example = (ROOT / "ops" / "kubernetes" / "secret.env.example").read_text()
    (settings,) = of_kind(manifest, "ConfigMap").values()
    named = {*re.findall(r"^(\w+)=", example, re.MULTILINE), *settings["data"]}
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


def test_an_upgrade_by_its_steps_applies_every_part_of_the_manifest(manifest: list[dict[str, Any]]) -> None:
    steps = {"migrate", *OURS}  # docs/howto/operate.md: kubectl apply -l process=…
    left = [one["kind"] for one in manifest if one["metadata"]["labels"].get("process") not in steps]
    assert not left


def test_each_file_of_ops_is_on_its_page() -> None:
    page = (ROOT / "docs" / "howto" / "operate.md").read_text()
    restored = sorted(path.name for path in (ROOT / "ops" / "restore").iterdir())
    assert [name for name in restored if f"shell < ops/restore/{name}" not in page] == []


def test_the_backup_command_backs_up_nothing_where_no_database_is_named_and_for_its_owner_alone(tmp_path: Path) -> None:
    """An empty name is the user's own database to pg_dump: a dump of that looks like a backup."""
    text = (ROOT / "docs" / "howto" / "operate.md").read_text()
    (command,) = re.findall(r"^\$ (.*pg_dump .*)$", text, re.MULTILINE)
    (file,) = re.findall(r"--file=(\S+)", command)
    assert file.startswith("/var/backups/")
    called = tmp_path / "called"
    pg_dump = tmp_path / "pg_dump"
    pg_dump.write_text(f'#!/bin/sh\nfor last; do :; done; echo "$last" > {called}\n')
    pg_dump.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert subprocess.run(["sh", "-c", command], check=False, cwd=ROOT, env=env | {"DATABASE_URL": ""}).returncode != 0
    assert not called.exists()
    named = env | {"DATABASE_URL": "postgresql://npd@db.example.org/npd", "DATABASE_PASSWORD": "p@ss"}
    assert subprocess.run(["sh", "-c", command], check=False, cwd=ROOT, env=named).returncode == 0
    assert called.stat().st_mode & 0o777 == 0o600
    assert called.read_text() == "postgresql://npd:p%40ss@db.example.org/npd\n"
