"""The whole configuration of a run: the one schema that the file, the environment and the options fill."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    ValidationError,
    WithJsonSchema,
    field_serializer,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cellstrata.configs.clustering import STRICT
from cellstrata.configs.cpus import usable_cpus
from cellstrata.configs.dask import DaskConfig
from cellstrata.configs.dataset import DatasetConfig
from cellstrata.configs.errors import ConfigError, Problem
from cellstrata.configs.merging import merged, written_at
from cellstrata.configs.secrets_mask import MASK, MaskedOptions, masked, only_harmless
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.configs.values import (
    Count,
    Figures,
    Gpu,
    NothingIsEmpty,
    Switch,
    Text,
    TextList,
    one_word_of,
    refuse,
    text_keys,
)
from cellstrata.configs.wording import problems_in

RUNNERS = ("processes", "threads", "dask", "gpu")
GRAINS = 5_000, 100_000, 50  # cells at least and at most; one part of so many of a data set
LINKS = ("auto", "symlink", "reference", "copy")


def _options(value: object) -> MaskedOptions:
    if not isinstance(value, Mapping):
        raise refuse("must be a mapping (`key: value`)")  # the value may be a secret: not repeated
    return MaskedOptions({str(key): inner for key, inner in value.items()})


def _options_by_protocol(value: object) -> MaskedOptions:
    if value is None:
        return MaskedOptions()
    options = _options(value)
    wrong = [name for name, inner in options.items() if not isinstance(inner, Mapping)]
    masks = [name for name in options if MASK in _values(options[name])]
    if masks:
        hint = "name a block (`block: aws-credentials/lab`) or a profile, or use the environment"
        raise ConfigError([Problem((name,), f"holds {MASK}, which only stands for a secret", hint) for name in masks])
    if wrong:
        hint = "write `storage_options: {s3: {profile: lab}}`"
        raise ConfigError([Problem((name,), "must be a mapping of this protocol's options", hint) for name in wrong])
    return options


def _values(value: object) -> list[object]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return [value] if inner is None else [found for one in inner for found in _values(one)]


def _shown(value: MaskedOptions, info: SerializationInfo) -> object:
    return masked(value) if info.mode == "json" else MaskedOptions(value)


def _stored(value: MaskedOptions, info: SerializationInfo) -> object:
    return only_harmless(dict(value)) if info.mode == "json" else MaskedOptions(value)


_DICT_SCHEMA = {"type": "object", "additionalProperties": True}
OptionsByProtocol = Annotated[
    MaskedOptions,
    PlainValidator(_options_by_protocol),
    PlainSerializer(_stored),
    WithJsonSchema({"type": "object", "additionalProperties": _DICT_SCHEMA}),
]


class Defaults(BaseModel):
    """What holds for every dataset that does not say otherwise."""

    model_config = STRICT

    datasets: TextList | None = Field(None, description="Names of the datasets that take part. Default: all.")
    clustering: Annotated[dict[str, Any], NothingIsEmpty, AfterValidator(text_keys)] = Field(
        default_factory=dict, description="Any keys of `clustering`; a dataset's own go over them."
    )


class RunConfig(BaseSettings):
    """Everything that describes a run.

    Construction from keywords reads nothing else; `cellstrata.load_config` also reads a file, the
    environment and options. Raises ConfigError with every problem at once.
    """

    model_config = SettingsConfigDict(
        env_prefix="CELLSTRATA_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    output_dir: Text = Field(min_length=1, description="Where results go: a folder or any fsspec URL.")
    images: Text | None = Field(None, description="Where figures go. Default: `{output_dir}/images`.")
    figures: Figures = Field(
        "auto", description="Draw figures: true, false, or `auto`: if `umap_colors`, `plots` or `images` are given."
    )
    report: Switch = Field(True, description="Whether `images` gets an HTML report of each dataset, and an index.")
    cache: Text | None = Field(
        None,
        description="Where finished splits are kept: a folder or URL. Default: the user's cache directory.",
    )
    read_cache: Text | None = Field(None, description="A second cache that is only read, as a team's: a folder or URL.")
    runner: Annotated[Literal["processes", "threads", "dask", "gpu"], one_word_of(RUNNERS)] = Field(
        "processes",
        description="What computes: `processes`, `threads`, `dask` or `gpu`. Results are the same.",
    )
    workers: Count | None = Field(None, description="How many compute at once. Default: the CPUs this process may use.")
    grain: Count | None = Field(
        None,
        description="Clusters with fewer cells are split together with all below them. Default: 5000; in a data set "
        "of more than 250,000 cells a fiftieth of them, up to 100,000.",
    )
    refresh: Switch = Field(False, description="Compute every split anew, whatever the cache holds.")
    rehash: Switch = Field(False, description="Read inputs again to know them, though they look unchanged.")
    link: Annotated[Literal["auto", "symlink", "reference", "copy"], one_word_of(LINKS)] = Field(
        "auto",
        description="How a result holds what the input held: `auto`, `symlink`, `reference` or `copy`.",
    )
    dask: Annotated[DaskConfig, NothingIsEmpty] = Field(
        default_factory=DaskConfig, description="For the runner `dask`: an `address`, or options of a local cluster."
    )
    storage_options: OptionsByProtocol = Field(
        default_factory=MaskedOptions, description="Options of stores, by protocol; secrets are never shown."
    )
    use_gpu: Gpu = Field(
        True,
        description="Whether GPUs may be used; a dataset asks with its own `use_gpu`. `required`: must.",
    )
    env_mode: Any = Field(None, description="Of the ancestor; has no effect here.")
    resources: Any = Field(None, description="Of the ancestor; has no effect here: see `runner` and `workers`.")
    defaults: Annotated[Defaults, NothingIsEmpty] = Field(
        default_factory=Defaults, description="What holds for every dataset that does not say otherwise."
    )
    DATASETS: dict[str, DatasetConfig] = Field(description="The datasets, by name.")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(problems_in(error, RunConfig)) from None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read only keywords: a deployment's parameters must not change with the worker's environment."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, data: object, handler: ModelWrapValidatorHandler[RunConfig]) -> RunConfig:
        if not isinstance(data, Mapping):
            return handler(data)
        whole, problems = merged(data)
        try:
            config = handler(whole)
        except ValidationError as error:
            problems += [
                Problem(written_at(p.path, data), p.message, p.suggestion) for p in problems_in(error, RunConfig)
            ]
        if problems:
            raise ConfigError(problems)
        return config

    @field_serializer("output_dir", "images", "cache", "read_cache", when_used="json")
    def _shown(self, url: str | None) -> str | None:
        return url and without_credentials(url)

    @property
    def images_url(self) -> str:
        """Where figures go."""
        return self.images or f"{self.output_dir.rstrip('/')}/images"

    @property
    def cache_url(self) -> str:
        """Where finished splits are kept."""
        if self.cache:
            return self.cache
        home = os.environ.get("XDG_CACHE_HOME") or ""
        # The XDG rule: a relative path there is to be ignored.
        base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
        return str(base / "cellstrata")

    @property
    def worker_count(self) -> int:
        """How many compute at once."""
        return self.workers or usable_cpus()

    @property
    def selected(self) -> dict[str, DatasetConfig]:
        """The datasets that take part: all, or those of `defaults.datasets`, in the file's order."""
        chosen = self.defaults.datasets
        return {name: dataset for name, dataset in self.DATASETS.items() if chosen is None or name in chosen}

    @property
    def engines(self) -> frozenset[str]:
        """The engines that datasets ask for by name."""
        return frozenset(filter(None, (dataset.clustering.engine for dataset in self.selected.values())))

    def grain_for(self, n_cells: int) -> int:
        """Return below how many cells the clusters of a data set of so many are split together."""
        least, most, share = GRAINS
        return self.grain or min(max(least, n_cells // share), most)

    def gpu_for(self, dataset: str) -> bool | Literal["required"]:
        """Say what both gates together allow for a dataset: the run's and its own. Raises KeyError."""
        own = self.DATASETS[dataset].clustering.use_gpu
        if not (self.use_gpu and own):
            return False
        return "required" if "required" in (self.use_gpu, own) else True
