"""Writers over one cache that claim, compute, read, hold leases and die at any step, with prunings, against a model.

The clock is the test's: to let time pass is to make all that lies in the cache older. On a local disk a claim is
created or not, in one step; the store in memory has no such step. A writer dies by its store: a call of it raises, and
all after.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cellstrata.tasks.cache import cache as caches
from cellstrata.tasks.cache import claims as claiming
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.claims import Claims
from cellstrata.tasks.cache.leases import LEASES, using
from cellstrata.tasks.cache_care.prune import prune
from cellstrata.tasks.cache_care.survey import NoCache
from cellstrata.tasks.stores.store import Store
from tests.tasks.small_caches import NOW, key_of, set_age, values_of

KEYS = range(3)
WRITERS = range(3)
RARELY = [False, False, False, True]
OF_A_CLAIM, OF_A_LEASE = claiming.PACE.dead_after, 600.0


class Died(OSError):
    """The writer is no more."""


@dataclass
class Life:
    """How many calls of its store a writer still makes; None for any number."""

    left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Died("gone")

    @property
    def over(self) -> bool:
        return self.left is not None and self.left < 0


@dataclass(frozen=True)
class MortalStore(Store):
    """A store whose calls raise from a moment on."""

    life: Life = field(default_factory=Life, compare=False)

    def read(self, key: str) -> bytes:
        self.life.step()
        return super().read(key)

    def write(self, key: str, data: bytes | memoryview) -> None:
        self.life.step()
        super().write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        self.life.step()
        return super().create(key, data)

    def touch(self, key: str) -> None:
        self.life.step()
        super().touch(key)

    def remove(self, key: str = "") -> None:
        self.life.step()
        super().remove(key)

    def remove_object(self, key: str) -> None:
        self.life.step()
        super().remove_object(key)


@dataclass
class Writer:
    """A run: its cache and claims, what it holds by the model, and its lease with the entries it has used under it."""

    cache: Cache
    claims: Claims
    life: Life
    held: dict[int, float] = field(default_factory=dict)  # when the claim of a key was last renewed
    lease: contextlib.ExitStack | None = None
    lease_path: str = ""
    used: set[int] = field(default_factory=set)


class CacheMachine(RuleBasedStateMachine):
    """Three writers over one cache; one that dies is followed by another in its place."""

    local = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        url = f"{self.folder.name}/cache" if self.local else f"memory://{uuid.uuid4().hex}/cache"
        self.store = Store.at(url)
        self.now = 1e9
        self.closing = contextlib.ExitStack()
        self.closing.enter_context(patch.object(caches, "INLINE", 64))  # so that arrays lie beside their records too
        self.closing.enter_context(patch.object(claiming, "time", SimpleNamespace(time=lambda: self.now)))
        self.writers = [self.born() for _ in WRITERS]
        self.claimed: dict[int, tuple[Writer, float]] = {}  # who wrote the claim that lies there, and when
        self.dead: list[Writer] = []

    def born(self) -> Writer:
        life = Life()
        cache = Cache(MortalStore(self.store.url, {}, life))
        return Writer(cache, Claims(cache), life)

    def teardown(self) -> None:
        for writer in self.writers:
            if writer.lease is not None:
                writer.lease.close()
        self.closing.close()
        self.folder.cleanup()

    def alive(self, number: int, act: Callable[[Writer], object]) -> None:
        """Let a writer act; if it dies in this, another takes its place, and what it held runs out."""
        writer = self.writers[number]
        with contextlib.suppress(Died):
            act(writer)
        if writer.life.over:
            self.dead.append(writer)
            self.writers[number] = self.born()

    @rule(number=st.sampled_from(WRITERS), key=st.sampled_from(KEYS))
    def take(self, number: int, key: int) -> None:
        def act(writer: Writer) -> None:
            taken = writer.claims.take(key_of(key))
            if writer.life.over:
                self.unsure(writer, key)
                return
            other = self.claimed.get(key)
            blocked = other is not None and other[0] is not writer and self.now - other[1] <= OF_A_CLAIM
            assert taken is (not blocked and key not in writer.held)
            if taken:
                assert writer.claims.left(key_of(key)) is (other is not None and other[0] is not writer)
                writer.held[key] = self.now
                self.claimed[key] = (writer, self.now)

        self.alive(number, act)

    def unsure(self, writer: Writer, key: int) -> None:
        """A writer died in a claim: what lies there tells whether it was written."""
        with contextlib.suppress(FileNotFoundError):
            claim = json.loads(self.store.read(f"v1/claims/{key_of(key)}.json"))
            if claim["run"] == writer.claims.run:
                self.claimed[key] = (writer, claim["time"])

    @rule(number=st.sampled_from(WRITERS))
    def renew(self, number: int) -> None:
        def act(writer: Writer) -> None:
            writer.claims._renew()

        writer = self.writers[number]
        with contextlib.suppress(Died):
            act(writer)
        for key in list(writer.held):
            self.unsure(writer, key)
            if not writer.life.over:
                writer.held[key] = self.now
        self.alive(number, lambda _: None)

    @rule(number=st.sampled_from(WRITERS), nth=st.integers(0, 2), large=st.booleans(), fails=st.sampled_from(RARELY))
    def compute(self, number: int, nth: int, large: bool, fails: bool) -> None:
        """Do what was claimed, or fail in it, and give the claim up."""
        writer = self.writers[number]
        if not writer.held:
            return
        key = list(writer.held)[nth % len(writer.held)]

        def act(writer: Writer) -> None:
            if not fails:
                values = {"labels": values_of(key, 40 if large else 4)}
                writer.cache.write_record("split", key_of(key), {"number": key}, values)
                if writer.lease is not None:
                    writer.used.add(key)
            (writer.claims.release if fails else writer.claims.finish)(key_of(key))
            if writer.life.over:
                return
            del writer.held[key]
            mine = self.claimed.get(key)
            if (fails or self.local) and mine is not None:
                # A claim that ran out may be another's by now: it is removed all the same, and only a hint.
                del self.claimed[key]

        self.alive(number, act)
        if writer.life.over and not self.store.exists(f"v1/claims/{key_of(key)}.json"):
            self.claimed.pop(key, None)

    @rule(number=st.sampled_from(WRITERS), key=st.sampled_from(KEYS), large=st.booleans())
    def work(self, number: int, key: int, large: bool) -> None:
        """The usual way: a lease, a claim, the entry."""
        self.begin(number)
        self.take(number, key)
        held = list(self.writers[number].held)
        if key in held:
            self.compute(number, held.index(key), large, fails=False)

    @rule(number=st.sampled_from(WRITERS), key=st.sampled_from(KEYS))
    def read(self, number: int, key: int) -> None:
        def act(writer: Writer) -> None:
            record = writer.cache.find(key_of(key), "split")
            assert record is not None or key not in writer.used or writer.life.over
            if record is not None:
                self.check(writer.cache, record)
                if writer.lease is not None:
                    writer.used.add(key)

        self.alive(number, act)

    def check(self, cache: Cache, record: Any) -> None:
        """What is read is whole and right."""
        labels = cache.array(record, "labels")
        assert np.array_equal(labels, values_of(record.body["number"], len(labels)))
        assert record.key == key_of(record.body["number"])

    @rule(number=st.sampled_from(WRITERS))
    def begin(self, number: int) -> None:
        def act(writer: Writer) -> None:
            if writer.lease is None:
                before = set(self.store.list(LEASES))
                writer.lease = contextlib.ExitStack()
                writer.lease.enter_context(using(writer.cache))
                written = set(self.store.list(LEASES)) - before
                writer.lease_path = f"{LEASES}/{written.pop()}" if written else ""

        self.alive(number, act)

    @rule(number=st.sampled_from(WRITERS), really=st.sampled_from(RARELY))
    def end(self, number: int, really: bool) -> None:
        def act(writer: Writer) -> None:
            if really and writer.lease is not None:
                writer.lease.close()
                writer.lease = None
                writer.used.clear()

        self.alive(number, act)

    @rule(number=st.sampled_from(WRITERS), after=st.integers(0, 30))
    def doom(self, number: int, after: int) -> None:
        """Have a writer die some calls later, wherever it then is."""
        life = self.writers[number].life
        if life.left is None:
            life.left = after

    @rule(seconds=st.sampled_from([5.0, 29.0, 31.0, 599.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: all that lies there is older; leases of living writers are renewed, as their threads do."""
        self.now += seconds
        cache, real = Cache(self.store), datetime.now(UTC).timestamp()
        for key in self.store.walk():
            age = real - self.time_of(key) + seconds
            if key.startswith(LEASES):
                said = json.loads(self.store.read(key))
                started = datetime.fromisoformat(said["started"]) - timedelta(seconds=seconds)
                self.store.write(key, json.dumps(said | {"started": started.isoformat()}).encode())
            aged(cache, key, age)
        for writer in self.writers:
            if writer.lease_path and writer.lease is not None and writer.life.left is None:
                aged(cache, writer.lease_path, 0.0)
            elif writer.lease is not None:  # its threads may be dead already
                writer.used.clear()

    def time_of(self, key: str) -> float:
        if self.local:
            return Path(self.store.path(key)).stat().st_mtime
        found = self.store.fs.store[self.store.fs._strip_protocol(self.store.path(key))]
        return float(found.created.timestamp())

    @rule(limit=st.sampled_from([{"max_size": 0}, {"max_size": 400}, {"older_than": 60.0}]))
    def prune_some(self, limit: dict[str, Any]) -> None:
        """Nothing goes that a writer with a lease has used since it began; claims that count no more go."""
        with contextlib.suppress(NoCache):  # there is no entry yet, or no more
            prune(Cache(self.store), now=datetime.now(UTC).timestamp(), **limit)
        cache = Cache(self.store)
        for writer in self.writers:
            for key in writer.used if writer.lease_path and writer.life.left is None else ():
                assert cache.find(key_of(key), "split") is not None
        self.claimed = {key: claim for key, claim in self.claimed.items()
                        if self.store.exists(f"v1/claims/{key_of(key)}.json")}  # fmt: skip

    @invariant()
    def what_is_there_is_right(self) -> None:
        cache = Cache(self.store)
        for key in KEYS:
            record = cache.find(key_of(key), "split")
            if record is not None:
                self.check(cache, record)


def aged(cache: Cache, key: str, age: float) -> None:
    """Say that an object was last written `age` seconds before now: those of `set_age` count from the first import."""
    set_age(cache, key, age - (datetime.now(UTC).timestamp() - NOW))


class MemoryMachine(CacheMachine):
    """The same over a store that cannot create in one step, and tells no use."""

    local = False


def run(machine: type[CacheMachine], examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    chosen = settings(max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=checks,
                      derandomize=True, database=None)  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.processes
def test_writers_over_a_local_disk() -> None:
    run(CacheMachine, 100)


@pytest.mark.processes
def test_writers_over_a_store_that_cannot_create_in_one_step() -> None:
    run(MemoryMachine, 100)
