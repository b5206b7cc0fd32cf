"""Files and folders of a local disk, written and removed so that no reader meets half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cellstrata.tasks.stores.exchange import exchange


def write_file(path: str, data: bytes | memoryview) -> None:
    """Write a file in one step, replacing an older one; folders are made as needed."""
    with _written_beside(path, data) as part:
        os.replace(part, path)


def create_file(path: str, data: bytes | memoryview) -> bool:
    """Write a file, whole and in one step, if there is none; False if there is one.

    Raises
    ------
    OSError
        If it cannot be written, or the disk knows no hard links.
    """
    with _written_beside(path, data) as part:
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(part)
    return True


@contextlib.contextmanager
def _written_beside(path: str, data: bytes | memoryview) -> Iterator[str]:
    """Yield a file beside `path` that holds the data, to be put in its place; removed where that fails."""
    part = f"{path}.{uuid.uuid4().hex[:12]}.part"
    try:
        with _open_new(part) as file:
            file.write(data)
        yield part
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        _say_where(error, path)
        raise


def _say_where(error: BaseException, path: str) -> None:
    """Put into an error of writing, a full disk's for example, the file that it does not name."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        error.filename = path


def _open_new(path: str) -> IO[bytes]:
    for _ in range(9):  # again, since whoever prunes a cache removes empty folders
        with contextlib.suppress(FileNotFoundError):
            return open(path, "xb")
        # makedirs says that a folder exists which was removed just after; made only when missing, for half the calls
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
    return open(path, "xb")


def remove_local(path: Path) -> None:
    """Remove a file, link or folder on a local disk; a link is unlinked, not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder for temporary files on the local disk, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cellstrata-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder beside `final`, and put it in `final`'s place when the block succeeds.

    A reader sees the old folder or the new one. When the block raises, nothing is left behind.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    staged = final.parent / f".{final.name}.{uuid.uuid4().hex[:12]}.part"
    staged.mkdir()
    try:
        yield staged
        replace_folder(staged, final)
    except BaseException as error:
        _say_where(error, str(final))
        raise
    finally:
        remove_local(staged)


def replace_folder(new: Path, final: Path) -> None:
    """Move folder `new` to `final`; what stood there before is removed.

    Where the kernel can (Linux `renameat2`, macOS `renamex_np`) the two are exchanged in one step.
    """
    try:
        os.rename(new, final)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    if exchange(new, final):
        remove_local(new)
        return
    old = final.parent / f".{final.name}.{uuid.uuid4().hex[:12]}.old"
    os.rename(final, old)
    os.rename(new, final)
    remove_local(old)
