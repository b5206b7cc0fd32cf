"""One attempt at what a command does: every error becomes a text for the user and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from cellstrata.configs.errors import ConfigError
from cellstrata.flows.commands.exit_codes import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.tasks.stores.data_errors import DataError


class Attempt:
    """A block whose errors are told and not raised; `code` is then the exit code, DONE where there was none.

    Errors in the user's input are `wrong`, an interruption is told by what then holds, and all else is told by
    `failed`, or raised where the user wants to see the whole of it.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        interrupted: str = "",
        wrong: tuple[type[Exception], ...] = (ConfigError, DataError),
        stopped: tuple[type[Exception], ...] = (),
        foreseen: tuple[type[Exception], ...] = (),
        failed: Callable[[Exception], str] = unexpected,
        verbose: bool = False,
    ) -> None:
        """`wrong` are errors of the input, `stopped` interruptions beside Ctrl-C, and `foreseen` failures whose own
        text says all."""
        self.code = DONE
        self._terminal, self._interrupted, self._failed, self._verbose = terminal, interrupted, failed, verbose
        self._wrong, self._stopped, self._foreseen = wrong, stopped, foreseen

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, self._wrong):
            self._terminal.wrong(str(error))
            self.code = WRONG_INPUT
        elif isinstance(error, (KeyboardInterrupt, *self._stopped)):
            if self._interrupted:
                self._terminal.failed(self._interrupted)
            self.code = INTERRUPTED
        elif isinstance(error, self._foreseen):
            self._terminal.failed(str(error))
            self.code = FAILED
        elif isinstance(error, Exception) and not self._verbose:
            self._terminal.failed(self._failed(error))
            self.code = FAILED
        else:
            return False
        return True
