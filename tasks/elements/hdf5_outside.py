"""What an HDF5 file takes from other files: external links, external storage, virtual datasets. It is refused.

HDF5 follows them without a word, to whatever file of this machine they name: an h5ad from elsewhere could have any
file that this process may read put into a result. And of what lies outside nobody would notice a change.
"""

from __future__ import annotations

from typing import Any

import h5py

from cellstrata.tasks.stores.data_errors import InputError

REMEDY = "write the file again whole (`anndata.read_h5ad(…).write_h5ad(…)`, if you trust it)"


def check_inside(url: str, where: str, node: Any) -> None:
    """Refuse an HDF5 object that takes anything from another file, itself or by what is below it; a zarr has no such.

    `url` is the name of the file that was opened, as `h5py.File.filename` gives it. Headers are read, no values.

    Raises
    ------
    InputError
        With what it takes from where, and the fix.
    """
    if not isinstance(node, (h5py.Dataset, h5py.Group)):
        return
    if (other := _other_file(node, url)) is not None:
        raise InputError(url, where, f"lies in another file, {other}; {REMEDY}")
    if isinstance(node, h5py.Group):
        prefix = f"{where}/" if where else ""
        links: list[tuple[str, Any]] = []
        node.visititems_links(lambda path, link: links.append((path, link)))
        for path, link in links:
            if isinstance(link, h5py.ExternalLink):
                raise InputError(url, prefix + path, f"is a link to another file, {link.filename}; {REMEDY}")
            if isinstance(link, h5py.SoftLink):
                to = node.get(path)  # None where it leads nowhere
                other = None if to is None else _other_file(to, url)
                if other is not None:
                    raise InputError(url, prefix + path, f"leads to another file, {other}; {REMEDY}")
            else:
                check_values(url, prefix + path, node[path])
    else:
        check_values(url, where, node)


def check_values(url: str, where: str, node: Any) -> None:
    """Do so for the values of a dataset alone; raises InputError as `check_inside` does."""
    if not isinstance(node, h5py.Dataset):
        return
    outside = [str(name) for name, *_ in node.external or ()]
    if node.is_virtual:
        outside += [str(source.file_name) for source in node.virtual_sources() if source.file_name != "."]
    if outside:
        raise InputError(url, where, f"has its values in another file, {outside[0]}; {REMEDY}")


def _other_file(node: Any, url: str) -> str | None:
    name = str(node.file.filename)
    return None if name == url else name
