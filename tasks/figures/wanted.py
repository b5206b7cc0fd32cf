"""Which figures a result gets: what each is called, what it depends on, and how it is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from cellstrata.tasks.evaluation.covariates import Categories, Covariate, Numbers
from cellstrata.tasks.figures.advice_figure import advice_sheet
from cellstrata.tasks.figures.agreement_figure import heat_map
from cellstrata.tasks.figures.cells import Cells
from cellstrata.tasks.figures.clustree_figure import clustree
from cellstrata.tasks.figures.entropy_figure import entropies
from cellstrata.tasks.figures.evaluation_figures import MOST_VALUES, bars, violins
from cellstrata.tasks.figures.hierarchy_figure import hierarchy
from cellstrata.tasks.figures.hierarchy_layout import branches
from cellstrata.tasks.figures.names import file_name
from cellstrata.tasks.figures.request import STYLE
from cellstrata.tasks.figures.sheet import Sheet
from cellstrata.tasks.figures.umap_figure import GENES, MOST_LABELS, Map, by_category, by_genes, by_number
from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.trees.labels import STABILITY_SUFFIX


@dataclass(frozen=True)
class Wanted:
    """A figure: its path without ending, in which forms, the digest of all that it depends on, how it is drawn.

    `preview` is the title under which a small copy is kept, empty for none.
    """

    path: str
    depends: str
    draw: Callable[[], Sheet]
    forms: tuple[str, ...] = ("png",)
    preview: str = ""

    @property
    def files(self) -> list[str]:
        """Its paths."""
        return [f"{self.path}.{form}" for form in self.forms]


class Gallery:
    """The figures of a result, from what was read of it."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._digests: dict[int, str] = {}

    def figures(self) -> Iterator[Wanted]:
        """Yield all figures; nothing is drawn yet."""
        if self.cells.embedding is not None:
            yield from self._umaps()
        yield from self._evaluations()
        yield from self._trees()

    @cached_property
    def _map(self) -> Map:
        assert self.cells.embedding is not None
        return Map(self.cells.embedding)

    @cached_property
    def _small_map(self) -> Map:
        assert self.cells.embedding is not None
        return Map(self.cells.embedding, 420)

    def _umaps(self) -> Iterator[Wanted]:
        cells, about = self.cells, self.cells.about
        assert cells.embedding is not None
        places = digest_array(cells.embedding)
        shown = cells.columns[0].name if cells.columns else ""
        for of in cells.columns:
            above = self._readable(of)
            yield Wanted(
                f"umap/{file_name(of.name)}", self._digest("umap", of, *([above] if above else []), places=places),
                partial(self._clusters, of, above),
                preview=f"UMAP by {of.name}" if of.name == shown else "",
            )  # fmt: skip
            if of.name in cells.stability:
                stability, named = cells.stability[of.name], above or of
                yield Wanted(
                    f"umap/{file_name(stability.name)}", self._digest("stability", stability, named, places=places),
                    partial(self._stability, stability, named),
                )  # fmt: skip
        for shade in [*cells.covariates, *cells.colors]:
            labelled = shade.name in cells.centroids
            depends = self._digest("umap", shade, places=places, labelled=labelled)
            yield Wanted(f"umap/{file_name(shade.name)}", depends, partial(self._covariate, shade, labelled))
        for index, start in enumerate(range(0, len(cells.genes), GENES)):
            group = cells.genes[start : start + GENES]
            title = f"Genes {start + 1} to {start + len(group)}" if len(cells.genes) > GENES else "Genes"
            yield Wanted(
                f"umap/genes_group={index}", self._digest("genes", *group, places=places, title=title),
                partial(lambda group, title: by_genes(self._small_map, group, title, about), group, title),
            )  # fmt: skip

    def _readable(self, of: Categories) -> Categories | None:
        """The nearest column above one of too many clusters that has fewer, None where its own can be read."""
        if len(of.labels) <= MOST_LABELS:
            return None
        by_name = {each.name: each for each in self.cells.columns}
        above = [by_name[name] for name in self.cells.rows.above(of.name)[:-1] if name in by_name]
        return next((each for each in reversed(above) if len(each.labels) <= MOST_LABELS), None)

    def _clusters(self, of: Categories, above: Categories | None) -> Sheet:
        return by_category(self._map, of, self.cells.about, labelled=True, whole=True, above=above)

    def _stability(self, of: Numbers, named: Categories) -> Sheet:
        note = "" if of.name == f"{named.name}{STABILITY_SUFFIX}" else f"; labels: {named.name}"
        said = f"{self.cells.about}; below {LOW}, other seeds do not find a cluster again{note}"
        return by_number(self._map, of, said, (0.0, 1.0), named)

    def _covariate(self, of: Covariate, labelled: bool) -> Sheet:
        if isinstance(of, Numbers):
            return by_number(self._map, of, self.cells.about)
        return by_category(self._map, of, self.cells.about, labelled)

    def _evaluations(self) -> Iterator[Wanted]:
        cells, about = self.cells, self.cells.about
        categorical = [of for of in cells.covariates if isinstance(of, Categories) and len(of.labels) <= MOST_VALUES]
        for of in cells.columns:
            for covariate in cells.covariates:
                path = f"evaluation/{file_name(of.name)}--{file_name(covariate.name)}"
                depends = self._digest("evaluation", of, covariate)
                if isinstance(covariate, Numbers):
                    yield Wanted(path, depends, partial(violins, of, covariate, about))
                elif covariate in categorical:
                    yield Wanted(path, depends, partial(bars, of, covariate, about))
        if cells.columns and len(cells.columns) + len(categorical) > 1:
            yield Wanted(
                "evaluation/NMI", self._digest("NMI", *cells.columns, *categorical),
                partial(heat_map, cells.columns, categorical, about), preview="Agreement of columns (NMI)",
            )  # fmt: skip
        for covariate in categorical:
            yield Wanted(
                f"evaluation/entropy--{file_name(covariate.name)}", self._digest("entropy", *cells.columns, covariate),
                partial(entropies, cells.columns, covariate, about),
            )  # fmt: skip

    def _trees(self) -> Iterator[Wanted]:
        rows, by_name, about = self.cells.rows, {of.name: of for of in self.cells.columns}, self.cells.about
        first: dict[str, list[tuple[float, Categories]]] = defaultdict(list)
        for name, facts in rows.facts.items():
            if facts.level == 1 and facts.base is not None and name in by_name:
                algorithm, resolution = facts.base
                first[algorithm].append((resolution, by_name[name]))
        for algorithm, found in first.items():
            if len(found) > 1:
                found.sort(key=lambda pair: pair[0])
                columns = [of for _, of in found]
                names = [str(resolution) for resolution, _ in found]
                title = f"{algorithm}, level 1, by resolution"
                yield Wanted(
                    f"tree/clustree--{algorithm}", self._digest("clustree", *columns, title=title),
                    partial(clustree, columns, names, title, about), ("png", "svg"),
                )  # fmt: skip
        for advice in self.cells.advice:
            yield Wanted(
                f"tree/resolutions--{advice.algorithm}", self._digest("resolutions", advice=advice.to_json()),
                partial(advice_sheet, advice, about), ("png", "svg"), preview=f"Resolutions of {advice.algorithm}",
            )  # fmt: skip
        for deepest in self._deepest():
            columns_above = rows.above(deepest)
            top = branches(rows, columns_above)
            name = deepest.rpartition("_")[0]
            palette = {column: self.cells.palette[column] for column in columns_above}
            total, levels = sum(branch.count() for branch in top), len(columns_above)
            yield Wanted(
                f"tree/{file_name(name)}",
                self._digest("hierarchy", tree=repr(top), palette=palette, name=name),
                partial(hierarchy, top, palette, name, f"{about}, {total:,} clusters in {levels} levels"),
                ("png", "svg"),
            )  # fmt: skip

    def _deepest(self) -> list[str]:
        """The last column of each tree of several levels."""
        rows = self.cells.rows
        found: dict[str, str] = {}
        for of in self.cells.columns:
            above = rows.above(of.name)
            if len(above) > 1:
                found[above[0]] = of.name if len(above) >= len(rows.above(found.get(above[0], ""))) else found[above[0]]
        return list(found.values())

    def _digest(self, kind: str, *of: Covariate, **more: object) -> str:
        content = [self._content(each) for each in of]
        return digest_values(style=STYLE, kind=kind, of=content, about=self.cells.about, **more)

    def _content(self, of: Covariate) -> str:
        if id(of) not in self._digests:
            values = of.values if isinstance(of, Numbers) else of.codes
            named = [] if isinstance(of, Numbers) else [[label, of.colors[label]] for label in of.labels]
            self._digests[id(of)] = digest_values(name=of.name, values=digest_array(values), named=named)
        return self._digests[id(of)]
