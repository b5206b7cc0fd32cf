"""Names that a curation gave to clusters whose ids change: they stay with their cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.colours.palette import Palette
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.results.name_columns import JOINED, NAME

if TYPE_CHECKING:
    import anndata as ad


@dataclass(frozen=True, eq=False)
class RenamedGroups:
    """The curations under new ids: an entry of the record, columns of names that show ids, and their colors."""

    record: Mapping[str, str] = field(default_factory=dict)
    obs: Mapping[str, Any] = field(default_factory=dict)
    colors: Mapping[str, np.ndarray] = field(default_factory=dict)


def renamed_groups(
    adata: ad.AnnData, text: str | None, ids: Mapping[str, Mapping[str, str]], palette: Palette
) -> RenamedGroups:
    """Return what a record's curations (`text`, JSON) say, by the new ids of each column's clusters.

    Groups without a name are called by their ids, in obs too. `palette` has the colors of the new ids.
    """
    if text is None:
        return RenamedGroups()
    entries: list[dict[str, Any]] = json.loads(text)
    obs: dict[str, Any] = {}
    colors: dict[str, np.ndarray] = {}
    for entry in entries:
        for column, groups in entry.get("groups", {}).items():
            labels, called = ids.get(column, {}), dict[str, str]()
            for group in groups:
                old = [str(label) for label in group["clusters"]]
                group["clusters"] = [labels.get(label, label) for label in old]
                if group["name"] == JOINED.join(old):
                    called[group["name"]] = group["name"] = JOINED.join(group["clusters"])
            name = f"{column}{NAME}"
            if name not in adata.obs or obs_column(adata, name).dtype.name != "category":
                continue
            values = (obs[name] if name in obs else obs_column(adata, name)).cat.rename_categories(called)
            obs[name] = values
            of = {group["name"]: group["color"] or palette[column][group["clusters"][0]] for group in groups}
            if all(each in of for each in values.cat.categories):
                colors[f"{name}_colors"] = np.array([of[each] for each in values.cat.categories], dtype=object)
    return RenamedGroups({"curation": json.dumps(entries, ensure_ascii=False)}, obs, colors)
