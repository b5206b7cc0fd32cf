"""Output whose encoding lacks letters, as in many clusters' job logs: what cannot be shown is replaced."""

from __future__ import annotations

import codecs
import io
import os
import sys

STAND_INS = {"…": "...", "·": "-", "×": "x", "—": "-", "–": "-", "“": '"', "”": '"', "’": "'", "‘": "'", "→": "->"}
REPLACED = "cellstrata-replaced"  # the name of the handler of errors
_ESCAPED = range(0xDC80, 0xDD00)  # bytes of a name that are no text, as Python's `surrogateescape` keeps them


def show_what_can_be_shown() -> None:
    """Let stdout and stderr replace letters that their encoding lacks, in place of failing.

    Bytes of file names that are no text are written as they are.
    """
    codecs.register_error(REPLACED, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=REPLACED)


def name_files_in_utf8() -> None:
    """Start this command anew in Python's UTF-8 mode where file names could have ASCII letters alone.

    Python does so by itself in the locale C, unless it is told not to.
    """
    ascii_names = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    if ascii_names and not sys.flags.utf8_mode and sys.executable:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if ord(letter) in _ESCAPED:
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return STAND_INS.get(letter, "?"), error.start + 1
