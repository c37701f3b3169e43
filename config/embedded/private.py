"""What `make run` writes is for its owner only: logs, boards, secrets."""

import os
from pathlib import Path

OTHERS = 0o077
ENTER_ONLY = 0o711  # go through, not look around


def keep_private(var: Path) -> None:
    """Make var/, and let this process and its children write for their owner only.

    Also closes what older runs left open. Where root runs this, PostgreSQL runs as another account, which must
    get through to its own folder below. Raises PermissionError when this user may not write there.
    """
    os.umask(OTHERS)
    var.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        var.chmod(var.stat().st_mode & 0o777 | ENTER_ONLY)
    for path in var.iterdir():
        if path.is_file() and not path.is_symlink() and path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode & ~OTHERS & 0o777)
