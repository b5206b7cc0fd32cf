"""How many requests of one kind are under way at once.

The time of each goes into waiting for the network. The numbers say what a store bears from one process, and how
much of what comes, or waits to be written, is kept in memory meanwhile.
"""

from __future__ import annotations

CONNECTIONS = 64  # to one store, of all kinds: those below go on beside one another
OBJECTS = 32  # small ones, metadata and chunks, that are read or copied one by one
LOOKS = 16  # whether an object is there, and what it is
PARTS = 16  # of one file, of up to 8 MiB each
WRITES = 8  # of one job, each with its array in memory
