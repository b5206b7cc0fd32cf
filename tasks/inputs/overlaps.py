"""Whether the places of a run get in one another's way: what is written must not lie in what is read."""

from __future__ import annotations

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.inputs.inspection import output_url
from cellstrata.tasks.stores.locations import Location
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
    written = {name: Location.of(output) for name, output in outputs.items()}
    cache, images = Location.of(config.cache_url), Location.of(config.images_url)
    for name, url in inputs.items():
        read = Location.of(url)
        for other, place_of_other in written.items():
            if other != name and place_of_other.within(read):
                problems.append(f"{name}: the result of {other} would be written into {url}; change `output_dir`")
        if written[name].overlaps(read):
            continue  # which is said when it is inspected
        for key, folder in (("cache", cache), ("images", images)):
            if folder.within(read):
                problems.append(f"{name}: `{key}` lies in the input {url}; name another place")
    for name, output in outputs.items():
        if cache.within(written[name]):
            problems.append(f"cache: lies in the result of {name}, {output}, which is replaced; name another place")
    return problems
