"""`cellstrata cache info | verify | prune`: what a cache holds, whether it is sound, and making it smaller."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cellstrata.configs.amounts import bytes_of, seconds_of, size_text
from cellstrata.configs.errors import ConfigError, Problem, at_most, listed
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE, FAILED
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.flows.credentials import with_blocks
from cellstrata.tasks.cache.access import open_to_all
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache_care.contents import Amount, Damage, Survey, by_age, by_dataset, by_kind
from cellstrata.tasks.cache_care.prune import Pruned, prune
from cellstrata.tasks.cache_care.survey import NoCache, survey
from cellstrata.tasks.cache_care.verify import Verification, verify
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.data_errors import said
from cellstrata.tasks.stores.missing_packages import missing_package
from cellstrata.tasks.stores.store import Store

AGES = {"day": "within a day", "week": "within a week", "month": "within a month", "older": "longer ago"}
VARIABLES = ("CELLSTRATA_CACHE", "CELLSTRATA_STORAGE_OPTIONS")
NAMED = 3  # of many paths, so many are named


def cache(options: argparse.Namespace) -> int:
    """Run one of the commands about a cache; returns the exit code."""
    terminal = Terminal(as_json=options.as_json, verbose=False)
    interrupted = "interrupted; whatever was removed, what remains is whole"
    with Attempt(terminal, interrupted=interrupted, wrong=(ConfigError, NoCache)) as attempt:
        opened = _opened(options.cache, os.environ)
        command = {"info": _info, "verify": _verify, "prune": _prune}[options.about]
        report, lines, code = command(opened, options, terminal)
    if attempt.code:
        return attempt.code
    print(json.dumps(report) if options.as_json else "\n".join(lines), flush=True)
    return code


Result = tuple[dict[str, Any], list[str], int]  # for programs, for people, the exit code


def _info(cache: Cache, options: argparse.Namespace, terminal: Terminal) -> Result:
    now = time.time()
    with terminal.status(f"looking at {cache.store.url}"):
        found = survey(cache)
    if (notice := open_to_all(cache)) is not None:
        terminal.notice(notice)
    kinds, ages, datasets = by_kind(found), by_age(found, now), by_dataset(found)
    unnamed = Amount.of(file for array in found.unnamed() for file in array.files)
    live = [lease for lease in found.leases if lease.lives(now)]
    report = _report(found) | {
        "size": found.size,
        "entries": len(found.entries),
        "arrays": len(found.arrays),
        "kinds": {kind: vars(amount) for kind, amount in kinds.items()},
        "last_used": {age: vars(amount) for age, amount in ages.items()},
        "datasets": [vars(dataset) for dataset in datasets],
        "unnamed_arrays": vars(Amount(len(found.unnamed()), unnamed.size)),
        "runs": [{"host": lease.host, "pid": lease.pid, "started": lease.started} for lease in live],
    }
    lines = [f"cache  {found.url}", f"size   {size_text(found.size)}, {len(found.entries):,} entries"]
    lines += [f"in use by process {lease.pid} on {lease.host} since {_date(lease.started)}" for lease in live]
    of_kinds = [[kind, f"{amount.count:,}", size_text(amount.size)] for kind, amount in kinds.items()]
    if unnamed.size:
        of_kinds.append(["arrays of no entry", f"{len(found.unnamed()):,}", size_text(unnamed.size)])
    of_ages = [[AGES[age], f"{amount.count:,}", size_text(amount.size)] for age, amount in ages.items()]
    of_datasets = [
        [dataset.name or "of none", f"{dataset.entries:,}", size_text(dataset.own), size_text(dataset.shared)]
        for dataset in datasets
        if dataset.name or dataset.own
    ]
    if found.entries or unnamed.size:
        used = "last used" if cache.store.is_local else "written"
        lines += ["", *_table(["kind", "entries", "size"], of_kinds), ""]
        lines += [*_table([used, "entries", "size"], of_ages), ""]
        lines += _table(["dataset", "entries", "own", "shared"], of_datasets)
    for remark in _remarks(found):
        terminal.notice(remark)
    return report, lines, DONE


def _verify(cache: Cache, options: argparse.Namespace, terminal: Terminal) -> Result:
    with terminal.status(f"looking at {cache.store.url}") as say:
        found = verify(cache, lambda done, total: say(f"checked {size_text(done)} of {size_text(total)}"))
    faults = [*found.damaged, *found.incomplete]
    report = {
        "cache": found.url,
        "sound": found.is_sound,
        "records": vars(found.records),
        "arrays": vars(found.arrays),
        "damaged": _faults(found.damaged),
        "incomplete": _faults(found.incomplete),
        "unnamed_arrays": vars(found.unnamed),
        "leftovers": vars(found.leftovers),
        "links": list(found.links),
        "unreadable": list(found.unreadable),
    }
    whole = size_text(found.records.size + found.arrays.size)
    lines = [
        f"cache    {found.url}",
        f"checked  {found.records.count:,} entries, {found.arrays.count:,} arrays, {whole}",
        f"damaged  {len(faults) or 'nothing'}",
    ]
    _say_faults(found, faults, terminal)
    return report, lines, DONE if found.is_sound else FAILED


def _say_faults(found: Verification, faults: Sequence[Damage], terminal: Terminal) -> None:
    for line in at_most([*(f"{path} is a link, and was not followed" for path in found.links)]):
        terminal.notice(line)
    for line in at_most([f"{path}: cannot be read" for path in found.unreadable]):
        terminal.failed(line)
    for line in at_most([f"{fault.stored.key}: {fault.why}" for fault in faults]):
        terminal.failed(line)
    if faults:
        terminal.notice(
            "what is damaged counts as absent: the next run that needs it computes it and mends it; "
            "`cellstrata cache prune` removes damaged records and arrays of a wrong size, others when they are old"
        )


def _prune(cache: Cache, options: argparse.Namespace, terminal: Terminal) -> Result:
    older_than, max_size = _limits(options)
    with terminal.status(f"looking at {cache.store.url}"):
        pruned = prune(cache, older_than, max_size, options.dry_run, storage_options=storage_options(os.environ))
    report = _report(pruned.found) | {
        "dry_run": pruned.dry_run,
        "before": pruned.before,
        "after": pruned.after,
        "removed": {name: vars(amount) for name, amount in _removed(pruned).items()},
        "notices": pruned.notices,
        "failures": pruned.failures,
    }
    removed = {name.replace("_", " "): amount for name, amount in _removed(pruned).items()}
    rows = [[name, f"{amount.count:,}", size_text(amount.size)] for name, amount in removed.items()]
    lines = [f"cache  {cache.store.url}", ""]
    lines += [*_table(["would be removed" if pruned.dry_run else "removed", "number", "size"], rows), ""]
    lines.append(f"{size_text(pruned.before)} before, {size_text(pruned.after)} after")
    for notice in [*_remarks(pruned.found, faults=False), *pruned.notices]:
        terminal.notice(notice)
    for line in at_most(pruned.failures):
        terminal.failed(line)
    return report, lines, FAILED if pruned.failures else DONE


def _limits(options: argparse.Namespace) -> tuple[float | None, int | None]:
    """Read the limits; raises ConfigError with everything that is wrong with them."""
    problems: list[Problem] = []
    read: dict[str, Any] = {"older_than": None, "max_size": None}
    for name, function in (("older_than", seconds_of), ("max_size", bytes_of)):
        text = getattr(options, name)
        try:
            read[name] = None if text is None else function(text, f"--{name}")
        except ConfigError as error:
            problems += error.problems
    if options.older_than is None and options.max_size is None:
        problems.append(Problem((), "prune needs a limit", "give --older_than 30d, --max_size 50GB, or both"))
    if problems:
        raise ConfigError(problems)
    return read["older_than"], read["max_size"]


def _opened(url: str | None, env: Mapping[str, str]) -> Cache:
    """Open the cache of `url`, by default that of runs in this environment. Raises ConfigError."""
    from cellstrata.configs.loading.load import with_environment

    own = {name: text for name, text in env.items() if name.upper().startswith(VARIABLES)}
    dataset = {"input": {"clustering": "any.zarr"}, "clustering": {"algorithm": "leiden", "resolutions": 1}}
    data = {"output_dir": ".", "DATASETS": {"any": dataset}}
    if url is not None:
        if not url.strip():
            raise ConfigError([Problem((), "is empty", "name the folder or URL of a cache", source="--cache")])
        data["cache"] = url
    config = with_environment(data, own)[0]
    sealed = Sealed(config.storage_options)
    place = sealed.url(config.cache_url)
    try:
        store = Store.at(place, with_blocks(sealed.options))
        store.exists()
    except Exception as error:  # an unknown protocol, one whose package is not installed, wrong options
        why = missing_package(place, error) or f"cannot be reached ({said(error)})"
        raise ConfigError([Problem((), f"{place} {why}")]) from None
    return Cache(store)


def _removed(pruned: Pruned) -> dict[str, Amount]:
    names = ("entries", "arrays", "damaged", "leftovers", "beside_results")
    return {name: getattr(pruned, name) for name in names}


def _report(found: Survey) -> dict[str, object]:
    """What every report says of a cache."""
    return {
        "cache": found.url,
        "damaged": _faults(found.damaged),
        "incomplete": _faults(found.incomplete),
        "leftovers": vars(Amount.of(found.leftovers)),
        "foreign": [stored.key for stored in found.foreign],
        "other_schemes": {name: vars(Amount.of(objects)) for name, objects in found.other_schemes.items()},
        "links": found.links,
        "unreadable": found.unreadable,
    }


def _faults(faults: Sequence[Damage]) -> list[dict[str, str]]:
    return [{"path": fault.stored.key, "why": fault.why} for fault in faults]


def _remarks(found: Survey, faults: bool = True) -> list[str]:
    """What the user may want to know of what lies in a cache besides entries."""
    remarks = []
    if found.links:
        remarks.append(f"neither followed, counted nor removed, since links: {listed(found.links, NAMED)}")
    if found.unreadable:
        remarks.append(f"cannot be read, and are left alone: {listed(found.unreadable, NAMED)}")
    if found.foreign:
        remarks.append(f"not of cellstrata, and left alone: {listed([stored.key for stored in found.foreign], NAMED)}")
    for name, objects in found.other_schemes.items():
        amount = Amount.of(objects)
        remarks.append(f"{name}: {amount.count:,} files of another version, {size_text(amount.size)}, left alone")
    broken = len(found.damaged) + len(found.incomplete)
    if broken and faults:
        remarks.append(f"{broken} damaged entries, which count as absent: `verify` shows them, `prune` removes them")
    if found.leftovers and faults:
        amount = Amount.of(found.leftovers)
        remarks.append(f"{amount.count} files of interrupted writes, {size_text(amount.size)}: `prune` removes them")
    return remarks


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Align rows of cells: the first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(
            zip(row, widths, strict=True))).rstrip()
        for row in [head, *rows]
    ]  # fmt: skip


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
