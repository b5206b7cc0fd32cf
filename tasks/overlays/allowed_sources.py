"""What a document of references may name: whoever can write to a result's place decides what its readers open.

So a document names plain places, of stores that are known here, and keys within them. It names no other file system
of fsspec's (some run programs or unpack archives), and from the web no file of the reader's own disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from cellstrata.tasks.stores.options import BUCKETS, HTTP
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import is_local, protocol_of

KNOWN = ("file", "local", "memory", *BUCKETS, *HTTP)


def refusal(url: str, place: Place) -> str | None:
    """Say why the overlay at `place` may not refer to a source at `url`; None where it may.

    Other protocols are those of the overlay itself, and those for which the reader gives `storage_options`.
    """
    protocol = protocol_of(url)
    if "::" in url:
        return "is a chain of file systems; no result of cellstrata refers to such"
    if protocol not in (*KNOWN, protocol_of(place.url), *place.options):
        return f"lies in a store of the protocol {protocol}; give `storage_options` for {protocol} if you trust it"
    if is_local(url) and protocol_of(place.url) in HTTP:
        return "lies on your own disk, which a result on a web server may not open; download the result if you trust it"
    return None


def options_at(url: str, place: Place) -> Mapping[str, Mapping[str, object]]:
    """Return the storage options for a source: of a web server those that were given for the overlay's own alone."""
    protocol = protocol_of(url)
    if protocol in HTTP and protocol_of(place.url) in HTTP and urlsplit(url).netloc != urlsplit(place.url).netloc:
        return {}
    return place.options


def leads_out(key: str) -> bool:
    """Tell whether a key leads out of the place it is in."""
    return key.startswith("/") or "\0" in key or ".." in key.split("/")
