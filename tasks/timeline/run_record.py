"""`run.json`: how a run was asked for, what it came to, and every piece of work that it did."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cellstrata.configs.model import RunConfig
from cellstrata.configs.secrets_mask import masked
from cellstrata.tasks.results.provenance import versions
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.json_values import JsonObject, WrongJson
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store, join
from cellstrata.tasks.timeline.work import Work, WorkLog

NAME = "run.json"
FORMAT = 1  # counts up when an entry is renamed or means something else


def record_url(config: RunConfig) -> str:
    """Return where the record of a run goes: among its tables, above its results."""
    return join(config.output_dir, "clustering", NAME)


def write_run_record(config: RunConfig, came_to: Mapping[str, object], log: WorkLog) -> str | None:
    """Write the record of a run that has ended, replacing that of an earlier one; return why it could not be.

    `came_to` is what the run came to as JSON values, as `--json` prints it.
    """
    try:
        data = json.dumps(run_record(config, came_to, log), indent=1, ensure_ascii=False).encode()
        Store.at(record_url(config), config.storage_options).write("", data)
    except Exception as error:  # the results stand
        return f"no {NAME} was written: {type(error).__name__}: {error}"
    return None


def run_record(config: RunConfig, came_to: Mapping[str, object], log: WorkLog) -> dict[str, object]:
    """Return the record as JSON values. Secrets are masked; storage options are left out."""
    done = sorted(log.done, key=lambda work: work.usage.started)
    return {
        "format": FORMAT,
        "made_by": "cellstrata",
        "began": datetime.fromtimestamp(log.began, UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "versions": versions(),
        "configuration": masked(config.model_dump(mode="json", exclude={"storage_options"})),
        "result": dict(came_to),
        "work": [work.to_json(log.began) for work in done],
    }


@dataclass(frozen=True)
class RunRecord:
    """A record that was read: when the run began (ISO 8601), and its work, times in s since then."""

    began: str
    work: tuple[Work, ...]


def read_run_record(place: Place) -> RunRecord:
    """Read a record.

    Raises
    ------
    InputError
        If there is none, or it is no record of a run.
    """
    try:
        document: Any = json.loads(place.store.read(""))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(place.url, "", f"there is no such file; name the {NAME} that a run wrote") from None
    except ValueError as error:
        raise InputError(place.url, "", f"is no JSON ({error}); name the {NAME} that a run wrote") from None
    try:
        said = JsonObject.of(document)
        if said.text("made_by") != "cellstrata" or said.whole("format") != FORMAT:
            raise WrongJson("it is of another format")
        return RunRecord(said.text("began"), tuple(map(Work.from_json, said.objects("work"))))
    except WrongJson as error:
        raise InputError(place.url, "", f"is no record of a run of this version ({error})") from None
