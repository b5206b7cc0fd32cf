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


def is_secret(name: object) -> bool:
    """Say whether what stands under this name must not be shown."""
    return isinstance(name, str) and name.lower() not in _HARMLESS and bool(_SECRET.search(name))


def masked(value: Any) -> Any:
    """Copy a value with everything under a secret name replaced."""
    if isinstance(value, dict):
        return {name: MASK if is_secret(name) and inner is not None else masked(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner) for inner in value]
    return value


class MaskedOptions(dict[str, Any]):
    """A dict that is used as it is and shown without its secrets, at every depth."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__({name: _wrapped(inner) for name, inner in (options or {}).items()})

    def __repr__(self) -> str:
        return repr(masked(dict(self)))

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return (MaskedOptions, (dict(self),))


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return MaskedOptions(value)
    if isinstance(value, (list, tuple)):
        return [_wrapped(inner) for inner in value]
    return value
