"""Which Prefect server a run speaks to: the user's own, the one of the flow around it, or one embedded in the run."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from cellstrata.flows.server.database import data_folder
from cellstrata.flows.server.embedded_server import EmbeddedServer, configured_server
from cellstrata.tasks.stores.local_disk import write_file

NO_ANSWER = """\
no Prefect server answers at {url}
  cellstrata ui     starts one on this machine; PREFECT_API_URL names another"""
REFUSED = "the Prefect server at {url} asks who you are: set PREFECT_API_AUTH_STRING=user:password"

_END = "-----END CERTIFICATE-----\n"


@dataclass(frozen=True)
class Connection:
    """The server of a run. `url` is None where Prefect finds it by itself, in a flow around the run."""

    url: str | None
    embedded: EmbeddedServer | None = None

    @property
    def notice(self) -> str | None:
        """Say so if the records of the run are kept nowhere."""
        if self.embedded is None or not self.embedded.is_temporary:
            return None
        return f"`cellstrata ui` will not show this run: {data_folder()} cannot be written to; XDG_DATA_HOME moves it"

    def wait(self) -> None:
        """Wait until an embedded server answers. Raises ServerFailed."""
        if self.embedded is not None:
            self.embedded.wait()

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Point Prefect at the server within the block, for this thread and what it starts; imports Prefect.

        Nothing of the process's environment is changed: other flows of the process keep their server.
        """
        from prefect.settings import (
            PREFECT_API_SSL_CERT_FILE,
            PREFECT_API_URL,
            get_current_settings,
            temporary_settings,
        )

        updates: dict[object, str] = {PREFECT_API_URL: self.url} if self.url else {}
        own = get_current_settings().api.model_fields_set
        if self.url and self.url.startswith("http://") and "ssl_cert_file" not in own:
            updates[PREFECT_API_SSL_CERT_FILE] = one_certificate()
        with temporary_settings(updates):
            yield


def unanswered(error: BaseException, url: str) -> str | None:
    """Say that the user's server does not answer, or does not let us in, if an error of Prefect's client means that."""
    link: BaseException | None = error
    while link is not None:
        if getattr(getattr(link, "response", None), "status_code", None) in (401, 403):
            return REFUSED.format(url=url)
        if isinstance(link, RuntimeError) and str(link).startswith("Failed to reach API"):
            return NO_ANSWER.format(url=url)
        link = link.__cause__ or link.__context__
    return None


@contextlib.contextmanager
def connection() -> Iterator[Connection]:
    """Find the server of a run, or start one that ends with the block; it may still be starting when this yields."""
    url = server_of_process()
    with contextlib.ExitStack() as stack:
        embedded = None
        if url is None and not _within_flow():
            embedded = EmbeddedServer()
            embedded.start()
            stack.callback(embedded.stop)
            url = embedded.url
        yield Connection(url or None, embedded)


def server_of_process() -> str | None:
    """Return the URL of the server that is configured, empty where an embedded one is forbidden, None for none.

    Prefect is asked if it is imported: it may have other settings here than its files and variables say.
    """
    if "prefect" in sys.modules:
        from prefect.settings import PREFECT_API_URL

        if url := PREFECT_API_URL.value():
            return str(url)
    return configured_server()


def _within_flow() -> bool:
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


@functools.cache
def one_certificate() -> str:
    """Return a file that holds a single certificate, for a server on plain http.

    Prefect's client would load all root certificates anew for each task run (50 ms), though no TLS is
    spoken there. It lies beside the embedded server's database: a run that is killed leaves none of its own. Where that
    cannot be written it lasts as long as the process.
    """
    import certifi

    one = certifi.contents().partition(_END)[0] + _END
    path = data_folder() / "certificate.pem"
    with contextlib.suppress(OSError):
        if not path.is_file() or path.read_text() != one:
            write_file(str(path), one.encode())
        return str(path)
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        atexit.register(_remove, file.name)
        file.write(one)
    return file.name


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)
