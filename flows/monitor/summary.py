"""What a run came to, as the caller of `cellstrata.run` gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from cellstrata.flows.monitor.progress import Counts
from cellstrata.tasks.advice.advice import Advice


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What one file of one dataset came to; one that failed has an `error` and no places.

    Attributes
    ----------
    error : str or None
        Why it failed.
    output : str or None
        URL of the result, an AnnData zarr.
    labels : str or None
        URL of `labels.parquet`, the new columns alone.
    markers : str or None
        URL of `markers.parquet`, the marker genes of all clusters.
    embeddings : str or None
        URL of `embeddings.zarr`, the embeddings that were derived for clusters.
    figures : str or None
        URL of the folder of figures.
    report : str or None
        URL of the report.
    columns : tuple of str
        The new columns of `obs`, `leiden_0.5_2`.
    clusters : Mapping of str to int
        How many clusters each column has.
    modularity : Mapping of str to float or None
        Of level 1 at resolution 1, by column.
    splits : Counts
        How many splits were `executed`, and how many `cached`.
    seconds : float
        How long it took.
    notices : tuple of str
        What the user should know.
    foremost : int or None
        How many of the notices, the first, are to be read before all else.
    written, report_written : bool or None
        Whether the result, and its report, were written; False where exactly these stood there.
    advice : tuple of Advice
        Which resolution to take, for each algorithm with several.
    """

    error: str | None = None
    output: str | None = None
    labels: str | None = None
    markers: str | None = None
    embeddings: str | None = None
    figures: str | None = None
    report: str | None = None
    columns: tuple[str, ...] = ()
    clusters: Mapping[str, int] = field(default_factory=dict)
    modularity: Mapping[str, float | None] = field(default_factory=dict)
    splits: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    notices: tuple[str, ...] = ()

    foremost: int | None = None
    written: bool | None = None
    report_written: bool | None = None
    advice: tuple[Advice, ...] = ()

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> DatasetSummary:
        """Take it from a dataset's entry in the result of the flow `cluster`."""
        known = {each.name: report[each.name] for each in fields(cls) if each.name in report}
        for name in ("columns", "notices"):
            known[name] = tuple(report.get(name, ()))
        known["advice"] = tuple(map(Advice.from_json, report.get("advice", ())))
        return cls(**known | {"splits": Counts(**report["splits"])})

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values; of a dataset that failed the error and its splits alone."""
        splits = dict(vars(self.splits))
        if self.error is not None:
            return {"error": self.error, "splits": splits}
        said = {name: value for name, value in vars(self).items() if value is not None}
        lists = {"columns": list(self.columns), "notices": list(self.notices)}
        return {**said, **lists, "splits": splits, "advice": [one.to_json() for one in self.advice]}


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run came to.

    Attributes
    ----------
    datasets : Mapping of str to DatasetSummary
        By `dataset/file id`, in the order of the configuration.
    index : str or None
        URL of the index of the reports.
    notices : tuple of str
        What the user should know of the whole run.
    seconds : float
        How long it took.
    index_written : bool or None
        Whether the index was written; False where exactly this one stood there.
    """

    datasets: Mapping[str, DatasetSummary]
    index: str | None = None
    notices: tuple[str, ...] = ()
    seconds: float = 0.0

    index_written: bool | None = None

    @classmethod
    def from_json(cls, summary: Mapping[str, Any]) -> RunSummary:
        """Take it from the result of the flow `cluster`."""
        return cls(
            datasets={name: DatasetSummary.from_json(report) for name, report in summary["datasets"].items()},
            index=summary.get("index"),
            notices=tuple(summary.get("notices", ())),
            seconds=float(summary["seconds"]),
            index_written=summary.get("index_written"),
        )

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values, as Prefect keeps them."""
        index = {} if self.index is None else {"index": self.index, "index_written": self.index_written}
        datasets = {name: dataset.to_json() for name, dataset in self.datasets.items()}
        return {"datasets": datasets, **index, "notices": list(self.notices), "seconds": self.seconds}

    def document(self) -> dict[str, object]:
        """Return what `--json` prints: for each dataset its output, columns, splits and seconds, or its error, and
        where the index of the reports is."""
        kept = ("output", "labels", "markers", "embeddings", "figures", "report", "columns", "clusters",
                "modularity", "splits", "seconds", "error", "notices", "advice")  # fmt: skip
        datasets: dict[str, object] = {}
        for name, dataset in self.datasets.items():
            said = dataset.to_json()
            datasets[name] = {key: said[key] for key in kept if key in said}
        index: dict[str, object] = {} if self.index is None else {"index": self.index}
        notices: dict[str, object] = {"notices": list(self.notices)} if self.notices else {}
        return {"datasets": datasets, **index, **notices, "seconds": self.seconds}

    @property
    def failed(self) -> tuple[str, ...]:
        """The datasets that failed."""
        return tuple(name for name, dataset in self.datasets.items() if dataset.error is not None)
