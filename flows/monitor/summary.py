"""What a run came to, as the caller of `cellstrata.run` gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellstrata.flows.monitor.progress import Counts


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
    figures : str or None
        URL of the folder of figures.
    report : str or None
        URL of the report.
    columns : tuple of str
        The new columns of `obs`, `leiden_0.5_2`.
    clusters : Mapping of str to int
        How many clusters each column has.
    modularity : Mapping of str to float
        Of level 1 at resolution 1, by column.
    splits : Counts
        How many splits were `executed`, and how many `cached`.
    seconds : float
        How long it took.
    notices : tuple of str
        What the user should know.
    """

    error: str | None = None
    output: str | None = None
    labels: str | None = None
    figures: str | None = None
    report: str | None = None
    columns: tuple[str, ...] = ()
    clusters: Mapping[str, int] = field(default_factory=dict)
    modularity: Mapping[str, float] = field(default_factory=dict)
    splits: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> DatasetSummary:
        """Take it from a dataset's entry in the result of the flow `cluster`."""
        return cls(
            error=report.get("error"),
            output=report.get("output"),
            labels=report.get("labels"),
            figures=report.get("figures"),
            report=report.get("report"),
            columns=tuple(report.get("columns", ())),
            clusters=dict(report.get("clusters", {})),
            modularity=dict(report.get("modularity", {})),
            splits=Counts(**report["splits"]),
            seconds=float(report.get("seconds", 0.0)),
            notices=tuple(report.get("notices", ())),
        )


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
    """

    datasets: Mapping[str, DatasetSummary]
    index: str | None = None
    notices: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> RunSummary:
        """Take it from the result of the flow `cluster`."""
        return cls(
            datasets={name: DatasetSummary.of(report) for name, report in summary["datasets"].items()},
            index=summary.get("index"),
            notices=tuple(summary.get("notices", ())),
            seconds=float(summary["seconds"]),
        )

    @property
    def failed(self) -> tuple[str, ...]:
        """The datasets that failed."""
        return tuple(name for name, dataset in self.datasets.items() if dataset.error is not None)
