"""Any warning within is an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# The garbage collector runs where it likes, also within another test than the one whose bucket's connections it
# finds. fsspec closes them then, and gives up after 0.1 seconds on a busy machine.
CONNECTIONS = r"(?i)unclosed .*(session|connector|transport|socket)"


@contextmanager
def no_warnings(*allowed: type[Warning]) -> Iterator[None]:
    """Warnings are raised, but for those of `allowed` and of connections that another test left to the collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=CONNECTIONS, category=ResourceWarning)
        for category in allowed:
            warnings.filterwarnings("ignore", category=category)
        yield
