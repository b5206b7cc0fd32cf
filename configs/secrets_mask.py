"""Options that may hold secrets: whole in the process, masked wherever they are shown or stored."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"

_SECRET = re.compile(
    r"secret|token|passw|passphrase|key|sas|credential|connection_string|authorization|signature",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"key_prefix", "key_separator", "key_type"})
# Texts that storage options may show; any other may be a secret under a name nobody thought of.
_SHOWN = _HARMLESS | frozenset(
    {"profile", "block", "endpoint_url", "region", "region_name", "project", "account_name", "account_host", "name",
     "default_location", "signature_version", "addressing_style", "mode", "default_cache_type"}
)  # fmt: skip
_USER = re.compile(r"://[^/@\s]*@")


def is_secret(name: object) -> bool:
    """Say whether what stands under this name must not be shown."""
    return isinstance(name, str) and name.lower() not in _HARMLESS and bool(_SECRET.search(name))


def masked(value: object) -> object:
    """Copy a value with everything under a secret name replaced."""
    if isinstance(value, dict):
        return {name: MASK if is_secret(name) and inner is not None else masked(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner) for inner in value]
    return value


def only_harmless(value: object, name: object = None) -> object:
    """Copy storage options with every text replaced that is not known to be harmless: for what is stored."""
    if is_secret(name) and value is not None:
        return MASK
    if isinstance(value, dict):
        return {key: only_harmless(inner, key) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [only_harmless(inner, name) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _USER.sub(f"://{MASK}@", value) if isinstance(value, str) and name in _SHOWN else MASK


def literal_secrets(options: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return where storage options hold a secret itself, and not the name of where it is kept."""
    if isinstance(options, dict):
        inner = [literal_secrets(value, (*path, str(name))) for name, value in options.items()]
    elif isinstance(options, (list, tuple)):
        inner = [literal_secrets(value, path) for value in options]
    else:
        return [path] if only_harmless(options, path[-1] if path else None) != options else []
    return list(dict.fromkeys(found for some in inner for found in some))


class MaskedOptions(dict[str, Any]):
    """A dict that is used as it is and shown without its secrets, at every depth."""

    def __init__(self, options: dict[str, object] | None = None) -> None:
        super().__init__({name: _wrapped(inner) for name, inner in (options or {}).items()})

    def __repr__(self) -> str:
        return repr(only_harmless(dict(self)))

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        return (MaskedOptions, (dict(self),))


def _wrapped(value: object) -> object:
    if isinstance(value, dict):
        return MaskedOptions(value)
    if isinstance(value, (list, tuple)):
        return [_wrapped(inner) for inner in value]
    return value
