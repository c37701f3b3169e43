"""Which account PostgreSQL runs as where root starts it: PostgreSQL refuses to run as root.

`nobody` where that account may enter the folder; else `nobody` with programs and data in a folder elsewhere.

The standard library only, and nothing of ours: config/embedded/bootstrap.py asks before anything is installed.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENTER_ALL = 'for folder; do cd "$folder" || exit 1; done'
DATA = "pg"
Arrange = Callable[[], None]


@dataclass(frozen=True)
class Account:
    """The account that owns the data."""

    uid: int
    gid: int
    name: str

    def popen(self, then: Arrange | None = None) -> dict[str, Any]:
        """Return what subprocess needs to run as this account; the child does `then` as the account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "preexec_fn": then}

    def owns(self, path: Path) -> bool:
        return path.lstat().st_uid == self.uid

    def chown_all(self, path: Path) -> None:
        """Make the account the owner of a folder; of its content first, so that a half-done one shows."""
        for folder, _, names in os.walk(path, topdown=False):
            for name in names:
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)
            os.chown(folder, self.uid, self.gid)


def account_of(uid: int) -> Account:
    """Return an account of this machine by its number, also one without a name."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, uid, f"user {uid}")
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def nobody() -> Account:
    """Return `nobody`, or where there is none the first account that isn't root's."""
    found = sorted(pwd.getpwall(), key=lambda entry: entry.pw_name != "nobody")
    return next(account_of(entry.pw_uid) for entry in found if entry.pw_uid)


def choose_account(owner: int | None, folders: Sequence[Path]) -> Account | None:
    """Return the first account that may enter all these folders, the data's owner (None or root: another) first."""
    candidates = [*([account_of(owner)] if owner else []), nobody()]
    return next((account for account in candidates if may_enter(account, folders)), None)


def may_enter(account: Account, folders: Sequence[Path]) -> bool:
    return _can_run(account, ["/bin/sh", "-c", ENTER_ALL, "sh", *map(str, folders)])


def _can_run(account: Account, command: list[str]) -> bool:
    nothing = subprocess.DEVNULL
    try:
        result = subprocess.run(
            command, cwd="/", check=False, stdin=nothing, stdout=nothing, stderr=nothing, **account.popen()
        )
        return result.returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def refusal(project: Path) -> str:
    """Return why root can't start PostgreSQL in this folder, and what to do; "" where it can. Only reads."""
    if os.geteuid() != 0 or choose_account(None, [project]) or any(_homes(project)):
        return ""
    return no_account_message(project)


def no_account_message(folder: Path) -> str:
    return (
        f"PostgreSQL refuses to run as root, and '{nobody().name}', as whom it would run, may not enter {folder}. "
        "Neither /var/lib nor the folder for temporary files will do. "
        "Move the project to a folder that everyone may enter (for example /srv), "
        "or run this as an ordinary user."
    )


@dataclass(frozen=True)
class Relocation:
    """A folder for programs and data that `nobody` may enter, where the project's may not be entered."""

    home: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.home / DATA

    def programs(self, binaries: Path) -> Path:
        """Return the copied folder of PostgreSQL's programs, made when missing; older copies are deleted."""
        found = (binaries / "postgres").stat()
        copy = self.home / f"programs-{found.st_size}-{found.st_mtime_ns}"
        if not copy.exists():
            for older in self.home.glob("programs-*"):
                shutil.rmtree(older)
            package = binaries.parent.parent
            # On Linux the programs find their libraries beside the package, by a path from their own place.
            beside = [one for one in [package.with_name(f"{package.name}.libs")] if one.is_dir()]
            self._copy(copy, {one: one.name for one in (package, *beside)})
        return copy / binaries.relative_to(binaries.parents[2])

    def take_over(self, place: Path) -> None:
        """Move any data from `place`, and leave a link there. May be interrupted at any point."""
        shutil.rmtree(self.data, ignore_errors=True)  # it is half of a copy, or an earlier project's
        if place.is_dir():
            self._copy(self.data, {place: ""})
            place.rename(_moved_away(place))
        place.symlink_to(self.data)
        finish_move(place)

    def _copy(self, target: Path, sources: Mapping[Path, str]) -> None:
        draft = target.with_name("new-" + target.name)
        shutil.rmtree(draft, ignore_errors=True)
        for source, name in sources.items():
            shutil.copytree(source, draft / name, symlinks=True)
        self.account.chown_all(draft)
        draft.rename(target)


def find_relocation(place: Path, binaries: Path) -> Relocation | None:
    """Return a folder where PostgreSQL can run although `place` can't be entered; None without one."""
    for home in _homes(place):
        home.mkdir(mode=0o711, exist_ok=True)
        home.chmod(0o711)  # the umask may have taken away what `nobody` needs
        found = Relocation(home, nobody())
        if _can_run(found.account, [str(found.programs(binaries) / "postgres"), "--version"]):
            return found
        shutil.rmtree(home)  # mounted so that no program can be run there
    return None


def finish_move(place: Path) -> None:
    """End an interrupted move: what was moved away is moved back, or wasn't needed any more."""
    if place.is_symlink():
        shutil.rmtree(_moved_away(place), ignore_errors=True)
    elif _moved_away(place).exists() and not place.exists():
        _moved_away(place).rename(place)


def _moved_away(place: Path) -> Path:
    return place.with_name(place.name + ".moved")


def relocation_of(place: Path) -> Path | None:
    """Return the folder elsewhere to which `place` links; None where the data is in its own place."""
    return place.readlink().parent if place.is_symlink() else None


def _homes(place: Path) -> Iterator[Path]:
    name = "npd-sync-" + hashlib.sha256(str(place).encode()).hexdigest()[:10]
    for base in (Path("/var/lib"), Path(tempfile.gettempdir())):
        home = base / name
        ours = not home.exists() or (home.is_dir() and not home.is_symlink() and home.stat().st_uid == 0)
        if ours and os.access(base, os.W_OK) and may_enter(nobody(), [base]):
            yield home
