"""`cellstrata ui`: a Prefect server for one person, that loses no task run and sends nothing out, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import urllib.request
from types import FrameType

from cellstrata.flows.commands.exit_codes import DONE, FAILED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.flows.server.database import own_settings, server_folder
from cellstrata.flows.server.embedded_server import names_database

# Task runs are written in batches: one by one, a flow of thousands of splits would outrun the writer.
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "true",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "DO_NOT_TRACK": "1",
}
LOCAL = ("127.0.0.1", "localhost", "::1")


def ui(host: str, port: int) -> int:
    """Serve until interrupted; returns the exit code. The user's own settings go over ours."""
    terminal, address = Terminal(False, False), f"http://{_spelt(host)}:{port}"
    if _answers(address):
        terminal.say(f"a Prefect server is already there: {address}")
        _print(address)
        return DONE
    if not _free(host, port):
        terminal.wrong(f"port {port} of {host} is taken, or no address of this machine; choose another: --port 4201")
        return WRONG_INPUT
    if host not in LOCAL and not os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        terminal.notice(f"{host} lets in anybody who reaches it: set PREFECT_SERVER_API_AUTH_STRING=user:password")
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY"):
        os.environ.pop(name, None)  # of a client: the server is this process
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if not names_database() and (folder := server_folder()) is not None:
        os.environ |= own_settings(folder)  # of the database that runs on their own write to
    os.environ |= {"PREFECT_SERVER_API_HOST": host, "PREFECT_SERVER_API_PORT": str(port)}
    os.environ.setdefault("PREFECT_UI_URL", address)  # for links in what it sends
    with terminal.status("starting the Prefect server"):
        import uvicorn
        from prefect.server.api.server import create_app

        from cellstrata.flows.server.embedded_server import RetrySoon
        from cellstrata.flows.server.idle_collection import CollectWhenIdle
        from cellstrata.flows.server.sqlite_writing import begin_writing_at_once

        begin_writing_at_once()
        app = create_app()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                _print(address)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if sig != signal.SIGINT and not self.should_exit:
                with contextlib.suppress(OSError):  # of a terminal that was closed
                    terminal.notice(f"stopped by {signal.Signals(sig).name}")
            super().handle_exit(sig, frame)

    server = Server(
        uvicorn.Config(
            RetrySoon(CollectWhenIdle(app)),
            host=host,
            port=port,
            log_level="warning",
            lifespan="on",
            timeout_graceful_shutdown=3,
        )
    )
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # as after `nohup`
        signal.signal(hangup, server.handle_exit)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn sends it on when it has ended
        server.run()
    return DONE if server.started else FAILED


def _print(address: str) -> None:
    print(f"UI      {address}")
    print(f"name it export PREFECT_API_URL={address}/api")
    print("Ctrl-C stops it; what it holds is kept", flush=True)


def _spelt(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/health", timeout=2) as answer:
            return bool(answer.read().strip() == b"true")
    except (OSError, ValueError):
        return False


def _free(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return True
    return False
