"""Places as a page may show them: without credentials, and as text that leads nowhere."""

from __future__ import annotations

from cellstrata.tasks.stores.store import is_local


def shown_place(url: str) -> str:
    """Return a path as it is, and a URL without user, password, query and fragment.

    Of a web address the protocol stands behind: a page holds no address that a browser would follow.
    """
    if is_local(url):
        return url
    protocol, _, rest = url.rpartition("://")
    path = rest.split("?", 1)[0].split("#", 1)[0]
    host, slash, below = path.partition("/")
    shown = f"{host.rpartition('@')[2]}{slash}{below}"
    return f"{shown} (by {protocol})" if protocol.endswith(("http", "https")) else f"{protocol}://{shown}"
