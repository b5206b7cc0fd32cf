"""A connection that can be lost: a relay on loopback in front of another port."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Passes everything on until it is cut; counts what is sent to the other side."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connected: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.messages = 0
        self.restore_on(self._listening)

    def restore_on(self, listening: socket.socket) -> None:
        """Take connections from a listening socket."""
        self._listening = listening
        with self._lock:
            self._is_cut = False
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def restore(self) -> None:
        """Take connections again, on the same port."""
        self.restore_on(socket.create_server(("127.0.0.1", self.port)))

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        with self._lock:
            broken, self._connected = self._connected, []
            self._is_cut = True
        for one in [self._listening, *broken]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    late = self._is_cut  # since it was taken: it would outlive the cut
                    self._connected += [] if late else [near, far]
                if late:
                    near.close()
                    far.close()
                    continue
                for source, sink, counts in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, counts), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.messages += counts
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
