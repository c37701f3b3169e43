"""The lock files say what requirements/*.in say, each package with its hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = {
    "production": ROOT / "requirements.txt",
    "sandbox": REQUIREMENTS / "sandbox.txt",
    "embedded": REQUIREMENTS / "embedded.txt",
    "development": REQUIREMENTS / "development.txt",
    "containers": REQUIREMENTS / "containers.txt",
}
# The .in files that each lock is made of.
FILES = {
    "production": ["production"],
    "sandbox": ["sandbox"],
    "embedded": ["production", "sandbox", "embedded"],
    "development": ["production", "sandbox", "embedded", "development"],
    "containers": ["containers"],
}
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]+)\])?==(?P<version>[^\s;]+)")
PACKAGE = re.compile(
    rf"^{PIN.pattern}(?P<marker> ;[^\n]*)?(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{{64}})+)\n"
    r"(?P<reasons>(?:    #[^\n]*\n)+)",
    re.MULTILINE,
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(name: str) -> dict[str, tuple[str, set[str]]]:
    """The version and extras of each package in an .in file."""
    pins = {}
    for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines():
        wanted = line.partition("#")[0].strip()
        if wanted and not wanted.startswith("-r "):
            pin = PIN.fullmatch(wanted)
            assert pin, f"requirements/{name}.in: “{wanted}” is not pinned as name==version"
            pins[canonical(pin["name"])] = (pin["version"], extras_of(pin))
    return pins


def extras_of(pin: re.Match[str]) -> set[str]:
    return {extra.strip() for extra in (pin["extras"] or "").split(",") if extra.strip()}


def locked(name: str) -> list[re.Match[str]]:
    return list(PACKAGE.finditer(LOCKS[name].read_text()))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_what_its_in_files_name_at_their_versions(name: str) -> None:
    for source in FILES[name]:
        reason = re.compile(rf"-r requirements/{source}\.in$", re.MULTILINE)
        pins = {pin["name"]: pin for pin in locked(name) if reason.search(pin["reasons"])}
        wanted = asked_for(source)
        assert pins.keys() == wanted.keys(), f"requirements/{source}.in changed: run `make lock`"
        for package, (version, extras) in wanted.items():
            assert pins[package]["version"] == version, f"{package} changed: run `make lock`"
            assert extras_of(pins[package]) >= extras, f"{package}'s extras changed: run `make lock`"


@pytest.mark.parametrize(
    ("larger", "smaller"), [("embedded", "production"), ("embedded", "sandbox"), ("development", "embedded")]
)
def test_a_larger_lock_installs_the_smaller_ones_files(larger: str, smaller: str) -> None:
    packages = {(pin["name"], pin["version"], pin["marker"]): pin["hashes"] for pin in locked(larger)}
    for pin in locked(smaller):
        assert packages.get((pin["name"], pin["version"], pin["marker"])) == pin["hashes"], pin["name"]


def test_production_installs_nothing_that_the_sandbox_alone_needs() -> None:
    production = {canonical(pin["name"]) for pin in locked("production")}
    assert {"graphql-core", "waitress"} <= asked_for("sandbox").keys()
    assert production.isdisjoint({"graphql-core", "waitress", "honcho"})
