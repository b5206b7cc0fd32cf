"""With which options each kind of store is opened: ours below the user's, and secrets put back in their place.

A listing is never taken from a cache of fsspec's: other runs write to the same bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.faults import RedirectRefused
from cellstrata.tasks.stores.requests import CONNECTIONS

HTTP = ("http", "https")
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
# What `storage_options` may hold beside the options of fsspec; put there by `flows`, never by the user.
URL_CREDENTIALS = "url_credentials"  # URLs as they are shown → as they were given
BLOCK, BLOCK_CREDENTIALS = "block", "block_credentials"  # its name, and what it holds
OWN = (URL_CREDENTIALS, BLOCK, BLOCK_CREDENTIALS)


def options_for(protocol: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for a file system of fsspec, of what the user gave for the protocol."""
    options = {**given.get(BLOCK_CREDENTIALS, {}), **{name: value for name, value in given.items() if name not in OWN}}
    if protocol in BUCKETS or protocol in HTTP:
        options.setdefault("use_listings_cache", False)
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {"max_pool_connections": CONNECTIONS, **options.get("config_kwargs", {})}
    if protocol in HTTP:
        options["client_kwargs"] = {**_http_session(), **options.get("client_kwargs", {})}
    return options


def whole_url(url: str, given: Mapping[str, Any]) -> str:
    """Return a URL with the credentials that were taken out of it, to be opened and never shown."""
    taken: Mapping[str, str] = given.get(URL_CREDENTIALS, {})
    for shown in sorted(taken, key=len, reverse=True):
        if url == shown or url.startswith(f"{shown.rstrip('/')}/"):
            return taken[shown] + url[len(shown) :]
    return url


@cache
def _http_session() -> dict[str, object]:
    """Timeouts by phase, not for a whole file; and no redirect from https to anything else.

    One to a scheme other than http and https, `file://` for example, aiohttp refuses by itself.
    """
    with IMPORTING:
        import aiohttp

    async def check(session: Any, context: Any, params: Any) -> None:
        to = urljoin(str(params.url), params.response.headers.get("Location", ""))
        if params.url.scheme == "https" and urlsplit(to).scheme != "https":
            raise RedirectRefused(f"from https to {urlsplit(to).scheme}")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(check)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return {"trace_configs": [trace], "timeout": timeout}
