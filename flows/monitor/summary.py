"""What a run came to, as the caller of `cellstrata.run` gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellstrata.flows.monitor.progress import Counts


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What one file of one dataset came to; one that failed has an `error` and no places."""

    error: str | None = None
    output: str | None = None  # the zarr store with the new columns
    labels: str | None = None  # the same columns as a parquet table
    figures: str | None = None  # a folder
    report: str | None = None  # a page
    columns: tuple[str, ...] = ()  # of `obs`, as `leiden_0.5_2`
    clusters: Mapping[str, int] = field(default_factory=dict)  # by column
    modularity: Mapping[str, float] = field(default_factory=dict)  # of level 1, by column
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
    """What a run came to: its datasets by `dataset/file id`, in the order of the configuration."""

    datasets: Mapping[str, DatasetSummary]
    index: str | None = None  # of the reports
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
