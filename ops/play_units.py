"""`make units`: start ops/systemd under a real systemd, and say whether it holds.

As root on Debian or Ubuntu, in namespaces and a network of its own: a small system of the machine's distribution, with
its PostgreSQL and Redis and the packages of requirements.txt, boots while the database is away, is migrated by hand,
restarted, put back to an older version, and ended. Everything lies under var/units; this machine's own units are not
touched. Exit code 0: it holds; 1: it doesn't; 2: it can't be played here.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from containers import (
    BrokenError,
    CannotPlayError,
    apt_settings,
    expect,
    mirrors,
    pip_of_this_machine,
    run,
    say,
    verdict,
    wait_for,
)

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var" / "units"
BASE = VAR / "base"
ROOTFS = VAR / "root"
GROUPS = Path("/sys/fs/cgroup")
PACKAGES = "systemd,dbus,python3,python3-venv,ca-certificates,postgresql,redis-server"
SECRETS_CONF = "ops/systemd/npd-.service.d/secrets.conf"
PROGRAM = ("config", "conflicts", "docs", "npd", "static", "sync", "templates", "manage.py", "requirements.txt")
OURS = ("web", "worker", "beat")
ALONE = "--in-a-mount-namespace"
PASSWORD = "p@ss/w#rd%" + secrets.token_hex(8)
SETTINGS = """\
DATABASE_URL=postgresql://npd@127.0.0.1:5432/npd
REDIS_URL=redis://127.0.0.1:6379/0
SITE_URL=http://127.0.0.1:8000
PORT=8000
MONDAY_API_URL=http://127.0.0.1:9/v2
"""
# As the first process of a system of its own. $1: its root; $2: the cgroups that it may make its own in.
BOOT = r"""
set -e
mount --make-rprivate /
mount --rbind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$1/$folder"; done
chmod 1777 "$1/tmp"
for name in null zero full random urandom tty; do touch "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
ln -s /proc/self/fd "$1/dev/fd"
mkdir -p "$1/dev/shm" "$1/dev/pts"
chmod 1777 "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
ln -s pts/ptmx "$1/dev/ptmx"
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs -o mode=755 tmpfs "$1/sys/fs/cgroup"
    mkdir "$1/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$1/sys/fs/cgroup/systemd"
else
    mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
fi
ip link set lo up
# Not chroot: what systemd hides from a unit it hides from a root that is a mount.
cd "$1"
pivot_root . mnt
umount --lazy /mnt
# As systemd does where it isn't in a container: a unit's secrets are mounted by a process of their own.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal
"""


class System:
    """The booted system."""

    def __init__(self) -> None:
        group = (GROUPS / "systemd" if (GROUPS / "systemd").is_dir() else GROUPS) / f"npd-units-{os.getpid()}"
        group.mkdir()
        self.group = group
        enter = f'echo $$ > {group}/cgroup.procs; exec unshare --mount --pid --fork --uts --ipc --net --cgroup "$@"'
        boot = ["sh", "-c", BOOT, "sh", str(ROOTFS)]
        self.process = subprocess.Popen(["sh", "-c", enter, "sh", *boot], stderr=subprocess.DEVNULL)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(wait_for("the system has a first process", lambda: children.read_text().split())[0])
        self.inside = ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd"]
        wait_for("systemd answers", lambda: self.says("systemctl", "is-system-running") in ("running", "degraded"))

    def __call__(self, *command: str, check: bool = True) -> str:
        return run(*self.inside, *command, check=check)

    def says(self, *command: str) -> str:
        """The last line that a command printed, whatever its exit code."""
        return (self(*command, check=False).splitlines() or [""])[-1].strip()

    def shown(self, unit: str, key: str) -> str:
        """What systemd knows of a unit of ours."""
        return self("systemctl", "show", "--value", f"--property={key}", f"npd-{unit}").strip()

    def all_run(self) -> bool:
        """Whether each unit of ours is up, and web says that all is well."""
        ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/readyz', timeout=9).status)"
        up = all(self.shown(name, "ActiveState") == "active" for name in OURS)
        return up and self.says("python3", "-c", ask) == "200"

    def lines(self, unit: str, text: str) -> int:
        """How often a unit's journal says that."""
        return self("journalctl", "--unit", f"npd-{unit}", "--output=cat", "--no-pager").count(text)

    def end(self) -> None:
        """End every process of it, and take its cgroups away."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)  # the first of its namespace: the kernel ends the others
            self.process.wait(30)
        for folder in sorted(self.group.rglob("*/"), reverse=True):
            folder.rmdir()
        self.group.rmdir()


def make_base() -> None:
    """A small system of this machine's distribution, and the packages of requirements.txt; kept for the next time."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE))
    if not BASE.is_dir():
        say("a small system from this machine's distribution (once)")
        making = BASE.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        settings = [f"--aptopt={line}" for line in apt_settings()]
        codename = release["VERSION_CODENAME"]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *settings]
        run(*command, codename, str(making), *mirrors(codename))
        making.rename(BASE)
    locked = (ROOT / "requirements.txt").read_text()
    installed = BASE / "srv/npd/installed.txt"
    if not installed.exists() or installed.read_text() != locked:
        say("the packages of requirements.txt (once for each change of it)")
        installed.parent.mkdir(exist_ok=True)
        places = pip_of_this_machine([sys.executable, "-m", "pip"], VAR) | {
            str(ROOT / "requirements.txt"): "/srv/requirements.txt",
            "/etc/resolv.conf": "/etc/resolv.conf",
        }
        for source, target in places.items():
            there = BASE / target.lstrip("/")
            (there if Path(source).is_dir() else there.parent).mkdir(parents=True, exist_ok=True)
            if Path(source).is_file():
                there.touch()
        binds = " && ".join(f"mount --bind {source} {BASE}{target}" for source, target in places.items())
        pip = "/srv/npd/.venv/bin/pip install --quiet --disable-pip-version-check -r /srv/requirements.txt"
        venv = f"chroot {BASE} sh -ec 'python3 -m venv --clear /srv/npd/.venv && {pip}'"
        run("unshare", "--mount", "sh", "-ec", f"mount --make-rprivate / && {binds} && {venv}")
        installed.write_text(locked)


def install() -> None:
    """What operate.md and the units' comments say: the program, its user, variables, secrets by file, units."""
    npd = ROOTFS / "srv/npd"
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PROGRAM).split("\0"):
        if name and (ROOT / name).is_file():
            (npd / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, npd / name)
    inside("useradd --system --home-dir /nonexistent npd && install -d -o npd /srv/npd/var")
    (ROOTFS / "etc/npd-sync.env").write_text(SETTINGS)
    folder = ROOTFS / "etc/npd-sync"
    folder.mkdir(mode=0o700)
    named = {"database_password": PASSWORD, "secret_key": secrets.token_urlsafe(50)}
    for name in re.findall(r"^LoadCredential=(\w+):", (ROOT / SECRETS_CONF).read_text(), re.MULTILINE):
        (folder / name).write_text(named.get(name, secrets.token_urlsafe(20)) + "\n")
        (folder / name).chmod(0o600)
    shutil.copytree(ROOT / "ops/systemd", ROOTFS / "etc/systemd/system", dirs_exist_ok=True)
    # The package chose another port, where this machine's own server had that one.
    inside("sed -i 's/^port = .*/port = 5432/' /etc/postgresql/*/main/postgresql.conf")
    inside("systemctl --quiet enable npd-web npd-worker npd-beat; systemctl --quiet disable postgresql")


def inside(script: str) -> None:
    """Run it in the system before that boots."""
    run("chroot", str(ROOTFS), "sh", "-ec", script)


def play() -> None:
    """All steps. Raises BrokenError at the first that doesn't hold."""
    make_base()
    layers = [VAR / "written", VAR / "work"]
    for folder in (*layers, ROOTFS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    options = f"lowerdir={BASE},upperdir={layers[0]},workdir={layers[1]}"
    run("mount", "-t", "overlay", "-o", options, "overlay", str(ROOTFS))
    install()
    say("boot, with the database away")
    system = System()
    try:
        for step in (_verify, _wait_for_the_database, _migrate, _restart, _go_back, _stop):
            step(system)
    except BrokenError:
        for name in (*OURS, "migrate", "static"):
            print(
                f"--- npd-{name}\n{system('journalctl', f'--unit=npd-{name}', '--lines=25', '--no-pager', check=False)}"
            )
        raise
    finally:
        system.end()


def _verify(system: System) -> None:
    units = [f"/etc/systemd/system/npd-{name}.service" for name in (*OURS, "migrate", "static")]
    expect("systemd-analyze verify", system("systemd-analyze", "verify", *units), "")


def _wait_for_the_database(system: System) -> None:
    for name in OURS:
        wait_for(f"{name} was started again", lambda name=name: int(system.shown(name, "NRestarts")) > 1)
        wait_for(f"{name} says that it waits", lambda name=name: system.lines(name, "Waiting: ") > 1)
    expect("failed units", system("systemctl", "list-units", "--state=failed", "--no-legend", "npd-*").strip(), "")
    say("without a database each unit is started again and again, and none is given up")
    system("systemctl", "start", "postgresql")
    for line in (f"CREATE ROLE npd LOGIN PASSWORD '{PASSWORD}'", "CREATE DATABASE npd OWNER npd"):
        system("runuser", "-u", "postgres", "--", "psql", "-qc", line)
    seen = int(system.shown("web", "NRestarts"))
    wait_for("web was started again", lambda: int(system.shown("web", "NRestarts")) > seen + 1)
    expect("npd-migrate's last run", system.shown("migrate", "InvocationID"), "")
    say("with an empty database they wait, and nothing migrates by itself")


def _migrate(system: System) -> None:
    begun = time.monotonic()
    system("systemctl", "start", "npd-migrate", "npd-static")
    migrated = time.monotonic()
    wait_for("web, worker and beat are up, and /readyz answers 200", system.all_run)
    up = time.monotonic()
    say(f"migrated by hand in {migrated - begun:.0f} s; {up - migrated:.0f} s later all are up by themselves")
    if PASSWORD in system("cat", f"/proc/{system.shown('web', 'MainPID')}/environ"):
        raise BrokenError("The password is in web's environment as it was started: it should be in a file alone.")
    limits = {name: system.shown(name, "MemoryMax") for name in OURS}
    if not all(limit.isdecimal() for limit in limits.values()):
        raise BrokenError(f"Not every unit has a limit of memory: {limits}.")
    say("secrets came by files alone; each unit has a limit of memory")


def _migrations(system: System) -> tuple[str, int]:
    return system.shown("migrate", "InvocationID"), system.lines("migrate", "Running migrations")


def _restart(system: System) -> None:
    before = _migrations(system)
    began = {name: system.shown(name, "InvocationID") for name in OURS}
    system("systemctl", "restart", *[f"npd-{name}" for name in OURS])
    wait_for("all are up again", system.all_run)
    kept = [name for name in OURS if system.shown(name, "InvocationID") == began[name]]
    expect("units that were not restarted", kept, [])
    expect("npd-migrate's last run", _migrations(system), before)
    killed = system.shown("worker", "InvocationID")
    system("systemctl", "kill", "--signal=KILL", "npd-worker")
    wait_for("a killed worker is started again", lambda: system.shown("worker", "InvocationID") != killed)
    wait_for("all are up again", system.all_run)
    say("restarted, and killed, they come back; nothing was migrated")


def _go_back(system: System) -> None:
    """The program before is one whose newest migration is applied already, and unknown to it."""
    line = "INSERT INTO django_migrations (app, name, applied) VALUES ('sync', '9999_of_the_next_version', now())"
    system("runuser", "-u", "postgres", "--", "psql", "-qc", line, "npd")
    before = _migrations(system)
    system("systemctl", "start", "npd-static")
    system("systemctl", "restart", "npd-web", "npd-beat", "npd-worker")
    wait_for("the version before is up on the new tables", system.all_run)
    expect("npd-migrate's last run", _migrations(system), before)
    say("the version before starts on the tables of the next, and migrates nothing")


def _stop(system: System) -> None:
    begun = time.monotonic()
    system("systemctl", "stop", *[f"npd-{name}" for name in OURS])
    expect("how they ended", {name: system.shown(name, "Result") for name in OURS}, dict.fromkeys(OURS, "success"))
    say(f"stopped cleanly in {time.monotonic() - begun:.0f} s")


def play_alone() -> None:
    """In a mount namespace of its own: what is mounted goes with it."""
    missing = [name for name in ("mmdebstrap", "unshare", "nsenter", "ip") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        raise CannotPlayError(f"This needs root on Debian or Ubuntu, and {', '.join(missing) or 'nothing more'}.")
    VAR.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] != [ALONE]:
        command = ["unshare", "--mount", "--propagation=private", sys.executable, __file__, ALONE]
        sys.exit(subprocess.run(command, check=False).returncode)
    play()


if __name__ == "__main__":
    sys.exit(verdict(play_alone))
