"""Credentials that Prefect keeps: a block named in `storage_options` is read when a run begins, in its process.

Only the block's name is in the configuration, and so in what a server stores of a run. A worker process
gets what the block holds with the store it is to open, and needs no Prefect.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from cellstrata.configs.model import RunConfig
from cellstrata.configs.secrets_mask import MaskedOptions, literal_secrets
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.options import BLOCK, BLOCK_CREDENTIALS

WHERE = "name a block (`storage_options: {s3: {block: aws-credentials/lab}}`), a profile, or use the environment"


class BlockProblem(ValueError):
    """A block cannot be used; the message says which, why, and what to do."""


def has_blocks(config: RunConfig) -> bool:
    """Tell whether a configuration names blocks that have not been read yet."""
    return any(BLOCK in own and BLOCK_CREDENTIALS not in own for own in config.storage_options.values())


def with_blocks(storage_options: Mapping[str, Any]) -> MaskedOptions:
    """Return the storage options with what their blocks hold, by protocol; Prefect is asked only if any is named.

    Raises
    ------
    BlockProblem
        If a block cannot be had, or is of a kind that is no use here.
    """
    options = dict(storage_options)
    for protocol, own in storage_options.items():
        if BLOCK in own and BLOCK_CREDENTIALS not in own:
            options[protocol] = {**own, BLOCK_CREDENTIALS: _held_by(protocol, own[BLOCK])}
    return MaskedOptions(options)


def literal_problems(config: RunConfig) -> list[str]:
    """Say where a configuration holds secrets themselves: a Prefect server keeps the parameters of its runs."""
    places = [f"storage_options.{'.'.join(path)}" for path in literal_secrets(dict(config.storage_options))]
    urls = {name: getattr(config, name) for name in ("output_dir", "images", "cache", "read_cache")}
    for name, dataset in config.DATASETS.items():
        urls |= {f"DATASETS.{name}.input.clustering.{f}": url for f, url in dataset.input.clustering.items()}
        urls[f"DATASETS.{name}.clustering.match"] = dataset.clustering.match
    places += [name for name, url in urls.items() if url and without_credentials(url) != url]
    return [f"{place}: holds a secret, and a Prefect server stores what a deployment is run with: {WHERE}; "
            "and replace this secret, it has been stored" for place in places]  # fmt: skip


def _held_by(protocol: str, name: Any) -> dict[str, Any]:
    where = f"storage_options.{protocol}.block"
    slug = str(name).partition("/")[0]
    if slug not in KINDS or "/" not in str(name):
        raise BlockProblem(
            f"{where}: {name} is no block that can be used; give one of {', '.join(KINDS)}, as slug/name"
        )
    package, extra, options_of = KINDS[slug]
    try:
        with IMPORTING:
            importlib.import_module(package)
    except ImportError:
        raise BlockProblem(f"{where}: {name} needs {package.replace('_', '-')}; pip install {extra}") from None
    with IMPORTING:
        from prefect.blocks.core import Block

    try:
        block: Any = Block.load(str(name), _sync=True)  # type: ignore[call-arg]
        return {key: value for key, value in options_of(block).items() if value is not None}
    except Exception as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) and str(error) else type(error).__name__
        raise BlockProblem(f"{where}: {name} cannot be read ({reason}); is it on this Prefect server?") from None


def _aws(block: Any) -> dict[str, Any]:
    session = block.get_boto3_session()  # it also takes a role on, where the block names one
    held = session.get_credentials()
    held = held and held.get_frozen_credentials()
    return {
        "key": held and held.access_key,
        "secret": held and held.secret_key,
        "token": held and held.token,
        **_client(block.aws_client_parameters, session.region_name),
    }


def _minio(block: Any) -> dict[str, Any]:
    secret = block.minio_root_password.get_secret_value()
    client = _client(block.aws_client_parameters, block.region_name)
    return {"key": block.minio_root_user, "secret": secret, **client}


def _client(parameters: Any, region: str | None) -> dict[str, Any]:
    return {
        "endpoint_url": parameters.endpoint_url,
        "client_kwargs": {"region_name": region} if region else None,
        "use_ssl": None if parameters.use_ssl else False,
    }


def _s3_bucket(block: Any) -> dict[str, Any]:
    held = block.credentials
    return _minio(held) if hasattr(held, "minio_root_user") else _aws(held)


def _gcp(block: Any) -> dict[str, Any]:
    info = block.service_account_info
    file = block.service_account_file
    return {"token": info.get_secret_value() if info else file and str(file), "project": block.project}


def _azure(block: Any) -> dict[str, Any]:
    text = block.connection_string
    account = str(block.account_url or "").partition("://")[2].partition(".")[0] or None
    secret = getattr(block, "client_secret", None)
    return {
        "connection_string": text and text.get_secret_value(),
        "account_name": account,
        "tenant_id": getattr(block, "tenant_id", None),
        "client_id": getattr(block, "client_id", None),
        "client_secret": secret and getattr(secret, "get_secret_value", lambda: secret)(),
    }


# By the slug of the block's type: its package, what to install, and how it becomes options of fsspec.
KINDS: dict[str, tuple[str, str, Callable[[Any], dict[str, Any]]]] = {
    "aws-credentials": ("prefect_aws", "'cellstrata[aws]'", _aws),
    "minio-credentials": ("prefect_aws", "'cellstrata[aws]'", _minio),
    "s3-bucket": ("prefect_aws", "'cellstrata[aws]'", _s3_bucket),
    "gcp-credentials": ("prefect_gcp", "prefect-gcp", _gcp),
    "azure-blob-storage-credentials": ("prefect_azure", "prefect-azure", _azure),
}
