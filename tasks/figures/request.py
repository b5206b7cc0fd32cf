"""Which figures a run asks for: plain values that go to the process that draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.colours.palette import SCHEME
from cellstrata.tasks.evaluation.gene_cache import GeneSource
from cellstrata.tasks.figures.names import figures_url
from cellstrata.tasks.inputs.checks import columns_of
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.store import StorageOptions

STYLE = 5  # counts up when the same data are drawn otherwise


@dataclass(frozen=True, kw_only=True)
class FigureRequest:
    """The figures of one result.

    `key` is that of the published result, `columns` its cluster columns, `covariates` what clusters are compared
    with, `colors` what UMAPs are coloured by besides, `centroids` those whose labels are written at their middles.
    `genes` says where their values are kept.
    """

    result: str
    folder: str
    name: str
    key: str
    columns: tuple[str, ...]
    covariates: tuple[str, ...]
    colors: tuple[str, ...]
    centroids: tuple[str, ...]
    storage_options: StorageOptions = field(default_factory=dict, repr=False, compare=False)
    genes: GeneSource | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, config: RunConfig, source: Input, key: str, columns: Sequence[str], cache: Cache) -> FigureRequest:
        """Put together what a dataset asks for; `key` and `columns` are the published result's.

        Columns that are kept from the input are drawn too.
        """
        genes = GeneSource(source.opened, cache, fresh=config.refresh or config.rehash)
        settings = config.DATASETS[source.dataset].clustering
        return cls(
            result=source.output,
            folder=figures_url(config.images_url, source.dataset, source.file_id),
            name=source.name,
            key=key,
            columns=tuple(dict.fromkeys([*columns_of(settings), *columns])),
            covariates=tuple(dict.fromkeys(settings.umap_colors)),
            colors=tuple(dict.fromkeys(settings.plots.colors)),
            centroids=tuple(dict.fromkeys(settings.plots.plot_centroids)),
            storage_options=config.storage_options,
            genes=genes,
        )

    def digest(self) -> str:
        """Return what all figures together depend on."""
        asked = [list(names) for names in (self.columns, self.covariates, self.colors, self.centroids)]
        return digest_values(style=STYLE, colors=SCHEME, result=self.result, key=self.key, name=self.name, asked=asked)


def wants_figures(config: RunConfig, dataset: str) -> bool:
    """Tell whether figures of a dataset are drawn: `figures` says so, or it is `auto` and others ask for them."""
    settings = config.DATASETS[dataset].clustering
    asked = settings.umap_colors or settings.plots.colors or settings.plots.plot_centroids or config.images
    return config.figures is True or (config.figures == "auto" and bool(asked))
