"""Credentials within URLs, `https://user:password@host/…` or a signed query: taken out, and kept where options are.

What is recorded, shown and passed on is the URL without them. The store that opens it finds the whole
one among its options (`cellstrata.tasks.stores.options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellstrata.configs.secrets_mask import MaskedOptions
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.tasks.stores.options import URL_CREDENTIALS
from cellstrata.tasks.stores.urls import protocol_of


class Sealed:
    """Collects the credentials of URLs; `options` are then the storage options that hold them."""

    def __init__(self, storage_options: Mapping[str, object]) -> None:
        self._given = storage_options
        self._taken: dict[str, dict[str, str]] = {}

    def url(self, url: str) -> str:
        """Return a URL without its credentials, and keep them."""
        shown = without_credentials(url)
        if shown != url:
            self._taken.setdefault(protocol_of(url), {})[shown] = url
        return shown

    @property
    def taken(self) -> bool:
        """Tell whether any URL had credentials."""
        return bool(self._taken)

    @property
    def options(self) -> MaskedOptions:
        """The storage options, with what was taken out of URLs."""
        options: dict[str, Any] = dict(self._given)
        for protocol, urls in self._taken.items():
            own = dict(options.get(protocol, {}))
            options[protocol] = {**own, URL_CREDENTIALS: {**own.get(URL_CREDENTIALS, {}), **urls}}
        return MaskedOptions(options)
