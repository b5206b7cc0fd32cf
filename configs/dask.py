"""The Dask cluster on which a run computes: the keys under `dask`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, StrictStr, model_validator

from cellstrata.configs.clustering import STRICT
from cellstrata.configs.errors import ConfigError, Problem
from cellstrata.configs.values import Count, Text, refuse

PROTOCOLS = ("tcp://", "tls://")
TLS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
LOCAL = ("n_workers", "threads_per_worker", "memory_limit", "local_directory", "dashboard_address")


def _address(value: object) -> object:
    if isinstance(value, str) and not value.startswith(PROTOCOLS):
        raise refuse("must begin with `tcp://` or `tls://`", "write `address: tcp://host:8786`")
    return value


class DaskConfig(BaseModel):
    """An existing scheduler, by its address, or else options of a cluster on this machine."""

    model_config = STRICT

    address: Annotated[StrictStr | None, BeforeValidator(_address)] = Field(
        None,
        description="An existing scheduler, `tcp://…` or `tls://…`. Default: a cluster on this machine.",
    )
    tls_ca_file: Text | None = Field(None, description="For `tls://`: the authority's certificates, a file.")
    tls_client_cert: Text | None = Field(None, description="For `tls://`: this client's certificate, a file.")
    tls_client_key: Text | None = Field(None, description="For `tls://`: this client's private key, a file.")
    timeout: Count = Field(
        60, description="Seconds to wait for a scheduler or workers that have not come yet, or are lost."
    )
    n_workers: Count | None = Field(None, description="Of a local cluster: its processes. Default: `workers`.")
    threads_per_worker: Count = Field(
        1, description="Of a local cluster: threads of a process; splits hold Python's lock."
    )
    memory_limit: Text | None = Field(
        None, description="Of a local cluster: memory of a process, as `8GiB`. Default: no limit."
    )
    local_directory: Text | None = Field(None, description="Of a local cluster: a folder for what Dask spills.")
    dashboard_address: Text | None = Field(
        None, description="Of a local cluster: where to serve Dask's dashboard, as `:8787`. Default: nowhere."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_the_other(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        address = data.get("address")
        problems = []
        if address is not None:
            hint = "leave it out, or leave out `address`"
            problems += [Problem((key,), "is of a cluster on this machine", hint) for key in LOCAL if key in data]
        if isinstance(address, str) and not address.startswith("tls://"):
            problems += [Problem((key,), "needs an address that begins with `tls://`") for key in TLS if key in data]
        if address is None:
            problems += [Problem((key,), "needs an `address`") for key in TLS if data.get(key) is not None]
        if (data.get("tls_client_cert") is None) != (data.get("tls_client_key") is None):
            problems.append(Problem((), "`tls_client_cert` and `tls_client_key` go together"))
        if problems:
            raise ConfigError(problems)
        return data
