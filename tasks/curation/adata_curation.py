"""Names that a curation gives to the clusters of an AnnData in memory: new columns of obs, their colors, the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.curation.changed_ids import changed_ids
from cellstrata.tasks.curation.curate import curations_text, group_colors, group_columns
from cellstrata.tasks.curation.curation_file import read_curation
from cellstrata.tasks.curation.groups import groups_of
from cellstrata.tasks.elements.in_memory import Parts, in_memory
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.record import ResultRecord

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd


@dataclass(frozen=True, eq=False)
class AdataCuration:
    """What a curation adds to an AnnData: columns of obs, entries of uns, its record; and what the user should know."""

    key: str
    obs: Mapping[str, pd.Categorical[Any]]
    uns: Mapping[str, Any]
    curations: str
    notices: tuple[str, ...]

    def write(self, adata: ad.AnnData) -> None:
        """Write it; everything else stays as it is."""
        for name, values in self.obs.items():
            adata.obs[name] = values
        for name, value in self.uns.items():
            adata.uns[name] = value
        adata.uns[self.key] = {**adata.uns[self.key], "curation": self.curations}


def curate_adata(adata: ad.AnnData, text: str, file: str, key: str | None = None) -> AdataCuration:
    """Check a curation, the text of a file, against the clusters of an AnnData, and return what it adds.

    Raises
    ------
    ConfigError
        With all that is wrong with the curation.
    InputError
        If there are no clusters.
    """
    own = AdataRecord.of(adata, key)
    curation = read_curation(text, file)
    said = {str(name): str(value) for name, value in adata.uns[own.key].items() if name != "tree"}
    source = in_memory(adata, Parts(obs=own.columns))
    record = ResultRecord(source, said, own.facts, own.tree, tuple(map(str, adata.obs.columns)), ())
    groups = groups_of(curation, record, file)
    return AdataCuration(
        own.key,
        group_columns(record, groups),
        group_colors(record, groups),
        curations_text(record, curation, groups, file, text),
        tuple(changed_ids(record, curation)),
    )


def curation_text(curation: Mapping[str, Any]) -> str:
    """Return a curation that is given as a mapping in the form of a file: JSON is YAML."""
    return json.dumps(curation, indent=1, ensure_ascii=False, default=str)
