"""Links on a local disk: relative symbolic ones to an input, hard ones to an older result."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

UNSUPPORTED = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK)


def symlink(real: str, staged: str, final: str) -> bool:
    """Make `staged` a relative link to the folder `real` that holds once it stands at `final`.

    Returns False where the disk knows no links.
    """
    try:
        os.symlink(os.path.relpath(real, os.path.dirname(final)), staged)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def has_links(folder: str) -> bool:
    """Tell whether some entry directly in `folder` is a symbolic link."""
    with os.scandir(folder) as entries:
        return any(entry.is_symlink() for entry in entries)


def hardlink_tree(source: str, target: str) -> None:
    """Make `target` a folder like `source` that shares its files, copying where the disk cannot share."""
    for folder, _, names in os.walk(source):
        into = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(into, exist_ok=True)
        for name in names:
            old, new = os.path.join(folder, name), os.path.join(into, name)
            try:
                os.link(old, new)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                shutil.copyfile(old, new)


def own_bytes(folder: Path) -> int:
    """Return the bytes of the files in a folder that are in no other place too; links are not followed."""
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(inner, name))
            total += stat.st_size if stat.st_nlink == 1 else 0
    return total
