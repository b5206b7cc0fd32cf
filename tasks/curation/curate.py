"""A result with the names that a curation gives to its clusters: new columns, and a record of who named what."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.errors import ConfigError, Problem, listed
from cellstrata.tasks.colours.palette import tree_palette
from cellstrata.tasks.curation.changed_ids import changed_ids
from cellstrata.tasks.curation.curation_file import Curation, read_curation
from cellstrata.tasks.curation.groups import Group, groups_of
from cellstrata.tasks.elements.linked_anndata import check_links
from cellstrata.tasks.elements.opening import InputError, reading
from cellstrata.tasks.elements.ownership import is_foreign
from cellstrata.tasks.elements.reading import obs_names, read_obs_column, read_uns
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.publishing.labels_parquet import write_labels_parquet
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.results.name_columns import NAME, ONTOLOGY
from cellstrata.tasks.results.record import WHERE, ResultRecord, read_result
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.new_file import cannot_be_written
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import pandas as pd

ZARR, TABLE, H5AD = ".zarr", ".parquet", ".h5ad"
UNS = "clustering"


@dataclass(frozen=True)
class Curated:
    """What a curation made: the groups of each column, and where the output is, None where none was asked for.

    `notices` name clusters that have an id of an earlier result, but are not what they were there.
    """

    groups: Mapping[str, tuple[Group, ...]]
    output: str | None
    notices: tuple[str, ...] = ()


def curate(result: Place, file: Place, output: Place | None = None, *, overwrite: bool = False) -> Curated:
    """Check a curation against a result, and write the result with its names to `output`; the result stays as it is.

    A `.zarr` refers to, links or copies the result as a run does with its input; an `.h5ad` needs nothing else; a
    `.parquet` has the new columns alone. Without `output` it is only checked.

    Raises
    ------
    ConfigError
        With all that is wrong with the curation. Nothing has been written then.
    InputError
        If the result or the file cannot be read.
    OutputError
        If the output cannot be written there.
    """
    if output is not None and (problem := _in_the_way(output, (result.url, file.url), overwrite=overwrite)):
        raise OutputError("", "", problem)
    text = file_text(file)
    curation = read_curation(text, file.url)
    record = read_result(result)
    groups = groups_of(curation, record, file.url)
    if output is not None:
        if record.source.kind == "zarr":
            check_links(record.source.place.store)
        columns = group_columns(record, groups)
        if output.url.endswith(TABLE):
            with record.source.root() as root, reading(record.url, "obs"):
                names = obs_names(root)
            record.source.check_unchanged()
            write_labels_parquet(output, names, columns)
        else:
            _write(record, columns, _uns(record, curation, groups, file, text), output)
    return Curated(groups, None if output is None else output.url, tuple(changed_ids(record, curation)))


def file_text(file: Place) -> str:
    """Return the text of a curation's file. Raises InputError if there is none, ConfigError if it is no UTF-8."""
    try:
        return file.store.read("").decode("utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(file.url, "", "there is no such file; check the path") from None
    except UnicodeDecodeError:
        raise ConfigError([Problem((), "is not UTF-8", "save it as a text in UTF-8")], file.url) from None


def _in_the_way(output: Place, sources: tuple[str, str], *, overwrite: bool) -> str | None:
    if not output.url.endswith(ZARR):
        # An h5ad that is there is left alone, as `materialize` does.
        return cannot_be_written(
            output, (ZARR, H5AD, TABLE), sources=sources, overwrite=overwrite and output.url.endswith(TABLE)
        )
    if any(overlap(source, output.url) for source in sources):
        return f"{output.url}: is what is read, lies in it or holds it; choose another name"
    if is_foreign(output):
        return f"{output.url}: exists, was not made by cellstrata and is left alone; choose another name"
    if output.store.exists() and not overwrite:
        return f"{output.url}: exists; choose another name, or replace it with --overwrite"
    return None


def group_columns(record: ResultRecord, groups: Mapping[str, tuple[Group, ...]]) -> dict[str, pd.Categorical[Any]]:
    """Return the new columns of obs, categoricals of strings of length n, groups in the order of their clusters."""
    with IMPORTING:
        import pandas as pd

    found: dict[str, pd.Categorical[Any]] = {}
    with record.source.root() as root:
        for name, of_column in groups.items():
            with reading(record.url, f"obs[{name!r}]"):
                values = read_obs_column(root, name).astype("category")
            group = {label: number for number, one in enumerate(of_column) for label in one.clusters}
            there = set(map(str, values.cat.categories[np.unique(values.cat.codes[values.cat.codes >= 0])]))
            if strange := sorted(there - set(group)):
                message = (
                    f"has {listed(strange, 4)}, which {WHERE} does not tell of: it has changed since; cluster again"
                )
                raise InputError(record.url, f"obs[{name!r}]", message)
            numbers = np.array([*(group.get(str(label), -1) for label in values.cat.categories), -1], np.int64)
            codes = numbers[values.cat.codes.to_numpy()]
            names = pd.Index([one.name for one in of_column], dtype=object)
            found[f"{name}{NAME}"] = pd.Categorical.from_codes(codes, categories=names)
            terms = list(dict.fromkeys(one.ontology for one in of_column if one.ontology))
            if terms:
                term = np.array(
                    [*(terms.index(one.ontology) if one.ontology else -1 for one in of_column), -1], np.int64
                )
                index = pd.Index(terms, dtype=object)
                found[f"{name}{ONTOLOGY}"] = pd.Categorical.from_codes(term[codes], categories=index)
    return found


def _uns(
    record: ResultRecord, curation: Curation, groups: Mapping[str, tuple[Group, ...]], file: Place, text: str
) -> dict[str, Any]:
    """Return the entries of uns: the result's own record with the curation behind earlier ones, and colors."""
    with record.source.root() as root, reading(record.url, f"uns[{UNS!r}]"):
        own = {name: value for name, value in read_uns(root, UNS).items() if name != "publish_key"}
    own["curation"] = curations_text(record, curation, groups, file.url, text)
    return {**group_colors(record, groups), UNS: own}


def curations_text(
    record: ResultRecord, curation: Curation, groups: Mapping[str, tuple[Group, ...]], file: str, text: str
) -> str:
    """Return what a result says of its curations, this one last, as JSON; `text` is that of the file."""
    entry = {
        "curator": curation.curator,
        "file": file,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": installed_version("cellstrata") or "",
        "result": record.url,
        "publish_key": record.texts.get("publish_key", ""),
        "new": {
            name: [f"{name}{NAME}", *([f"{name}{ONTOLOGY}"] if any(one.ontology for one in of_column) else [])]
            for name, of_column in groups.items()
        },
        "groups": {name: [asdict(one) for one in of_column] for name, of_column in groups.items()},
    }
    return json.dumps([*record.curations, entry], ensure_ascii=False)


def group_colors(record: ResultRecord, groups: Mapping[str, tuple[Group, ...]]) -> dict[str, np.ndarray]:
    """Return `uns['{column}_name_colors']` of each column: the curation's colors, else those of the first clusters."""
    palette = tree_palette(record.tree, record.facts)
    return {
        f"{name}{NAME}_colors": np.array(
            [one.color or palette[name][one.clusters[0]] for one in of_column], dtype=object
        )
        for name, of_column in groups.items()
    }


def _write(
    record: ResultRecord, columns: Mapping[str, pd.Categorical[Any]], uns: Mapping[str, Any], output: Place
) -> None:
    if output.url.endswith(ZARR):
        publish(record.source, output, obs=columns, uns=uns)
        return
    with tempfile.TemporaryDirectory(prefix="cellstrata-") as folder:
        made = output.at(os.path.join(Path(folder), "curated.zarr"))
        publish(record.source, made, obs=columns, uns=uns)
        materialize(made.url, output.url, storage_options=output.options)
