"""`cellstrata deploy` and `serve`: a configuration on a Prefect server, run by workers or by this process."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.loading.load import load_config
from cellstrata.configs.model import RunConfig
from cellstrata.flows.commands.exit_codes import DONE, FAILED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.flows.server.connection import NO_ANSWER, REFUSED
from cellstrata.flows.server.embedded_server import configured_server

if TYPE_CHECKING:
    from cellstrata.flows.deployment import When

NO_SERVER = """\
no Prefect server is configured; a deployment needs one that stays
  cellstrata ui                                         starts one on this machine, in another terminal
  export PREFECT_API_URL=http://127.0.0.1:4200/api      names it, or your team's"""


def deploy(options: argparse.Namespace) -> int:
    """Deploy a configuration to a work pool; returns the exit code."""
    return _on_server(options, _deploy)


def serve(options: argparse.Namespace) -> int:
    """Deploy a configuration and run it here whenever it is due, until interrupted; returns the exit code."""
    return _on_server(options, _serve)


def _on_server(options: argparse.Namespace, do: Callable[..., int]) -> int:
    terminal = Terminal(False, options.verbose)
    try:
        config, notices = load_config(options.config, [*_narrowed(options), *options.overrides])
    except ConfigError as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    for notice in notices:
        terminal.notice(notice)
    url = configured_server()
    if not url:
        terminal.wrong(NO_SERVER)
        return WRONG_INPUT

    import httpx  # here and below: Prefect takes 2 s to import

    from cellstrata.flows.deployment import CannotDeploy

    try:
        return do(config, options, url, terminal)
    except CannotDeploy as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            terminal.wrong(REFUSED.format(url=url))
            return WRONG_INPUT
        told = error.response.text[:500]
        terminal.failed(f"the Prefect server at {url} refused: {told}")
    except BrokenPipeError:  # of whoever read what we print
        raise
    except (httpx.HTTPError, OSError):
        terminal.failed(NO_ANSWER.format(url=url))
    except Exception as error:
        if options.verbose:
            raise
        terminal.failed(f"{unexpected(error)}; --verbose shows more")
    return FAILED


def _narrowed(options: argparse.Namespace) -> list[str]:
    return ["--defaults.datasets", json.dumps(options.dataset)] if options.dataset else []


def _deploy(config: RunConfig, options: argparse.Namespace, url: str, terminal: Terminal) -> int:
    from cellstrata.flows import deployment as of
    from cellstrata.flows.deployment import Pool

    name, when, pool = _name(options), _when(options), Pool(options.pool, options.type, _job_variables(options))
    wanted = [of.clustering(config, name, when, pool)]
    if options.watch:
        wanted.append(of.watching(config, name, of.When(interval=options.watch), pool))

    async def apply() -> list[str]:
        await _answer()
        if await of.make_pool(pool):
            print(f"made the work pool {pool.name}")
        ids = [await of.apply(deployment, pool) for deployment in wanted]
        if options.notify:
            for deployment, found in zip(wanted, ids, strict=True):
                await of.notify(deployment.full_name, found, options.notify)
        return ids

    ids = asyncio.run(apply())
    for deployment, found in zip(wanted, ids, strict=True):
        print(f"{deployment.full_name}  {_said(deployment)}  {url.removesuffix('/api')}/deployments/deployment/{found}")
    print(f"run it now      prefect deployment run {wanted[0].full_name}")
    print(f"where it runs   prefect worker start --pool {pool.name}", flush=True)
    return DONE


def _serve(config: RunConfig, options: argparse.Namespace, url: str, terminal: Terminal) -> int:
    from prefect import serve as prefect_serve

    from cellstrata.flows import deployment as of

    name = _name(options, "-served")
    served = [of.clustering(config, name, _when(options), None)]
    if options.watch:
        served.append(of.watching(config, name, of.When(interval=options.watch), None))
    asyncio.run(_answer())
    for deployment in served:
        print(f"{deployment.full_name}  {_said(deployment)}")
    print(f"run it now      prefect deployment run {served[0].full_name}")
    print(f"serving from {url}; Ctrl-C stops it", flush=True)
    try:
        prefect_serve(*served, print_starting_message=False)  # until Ctrl-C or SIGTERM, which end its runs' processes
    finally:
        if lost := asyncio.run(of.crash_unfinished([deployment.full_name for deployment in served])):
            terminal.notice(f"stopped in mid-run: {', '.join(lost)}; the next run resumes from the cache")
    return DONE


async def _answer() -> None:
    """Ask the server anything: it must be there, and let us in."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        await client.read_work_pools(limit=1)


def _name(options: argparse.Namespace, ending: str = "") -> str:
    return options.name or "-".join([Path(options.config).stem, *(options.dataset or [])]) + ending


def _when(options: argparse.Namespace) -> When:
    from cellstrata.flows.deployment import CannotDeploy, When

    if options.schedule and options.interval:
        raise CannotDeploy("--schedule and --interval exclude each other: give one")
    return When(options.schedule, options.interval, options.timezone)


def _job_variables(options: argparse.Namespace) -> dict[str, object]:
    variables: dict[str, object] = {"image": options.image} if options.image else {}
    if options.env:
        variables["env"] = dict(pair.partition("=")[::2] for pair in options.env)
    return variables


def _said(deployment: Any) -> str:
    (schedule,) = deployment.schedules or [None]
    if schedule is None:
        return "on demand"
    plan = schedule.schedule
    if hasattr(plan, "cron"):
        return f"cron {plan.cron} ({plan.timezone})"
    return f"every {plan.interval.total_seconds():.0f} s"
