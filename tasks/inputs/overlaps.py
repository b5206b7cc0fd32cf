"""Whether the places of a run get in one another's way: what is written must not lie in what is read."""

from __future__ import annotations

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.inputs.inspection import output_url
from cellstrata.tasks.stores.store import real


def conflicts(config: RunConfig) -> list[str]:
    """Say which outputs, caches and inputs of a configuration lie in one another, a line each.

    That an output lies in its own input, or is not ours, is found when that input is inspected.
    """
    inputs = {
        f"{d}/{f}": url for d, settings in config.selected.items() for f, url in settings.input.clustering.items()
    }
    outputs = {name: output_url(config.output_dir, *name.split("/", 1)) for name in inputs}
    problems, seen = list[str](), dict[str, str]()
    for name, output in outputs.items():
        place = real(output)
        if place in seen:
            problems.append(f"{name}: its result would be {output}, as that of {seen[place]}; rename one")
        seen.setdefault(place, name)
    for name, url in inputs.items():
        for other, output in outputs.items():
            if other != name and _within(output, url):
                problems.append(f"{name}: the result of {other} would be written into {url}; change `output_dir`")
        if _within(outputs[name], url) or _within(url, outputs[name]):
            continue  # which is said when it is inspected
        for key, place in (("cache", config.cache_url), ("images", config.images_url)):
            if _within(place, url):
                problems.append(f"{name}: `{key}` lies in the input {url}; name another place")
    for name, output in outputs.items():
        if _within(config.cache_url, output):
            problems.append(f"cache: lies in the result of {name}, {output}, which is replaced; name another place")
    return problems


def _within(place: str, folder: str) -> bool:
    return f"{real(place)}/".startswith(f"{real(folder)}/")
