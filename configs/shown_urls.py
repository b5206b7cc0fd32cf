"""URLs as they may be shown and stored: without the credentials in them."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit, urlunsplit

from cellstrata.configs.secrets_mask import is_secret


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown: no `user:password@`, and no query that signs it."""
    if "://" not in url or "::" in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] if ":" in parts.netloc.rpartition("@")[0] else parts.netloc
    query = parts.query
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if parts.scheme in ("http", "https") and any(is_secret(name) or name.lower() == "sig" for name in names):  # Azure's
        query = ""
    if (host, query) == (parts.netloc, parts.query):
        return url  # as it was written, to the letter
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))
