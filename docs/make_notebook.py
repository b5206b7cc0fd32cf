"""Make `notebook.ipynb` of `notebook.md`: its text and its code, in cells. Run it after a change of the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

DOCS = Path(__file__).parent
PAGE, NOTEBOOK = DOCS / "notebook.md", DOCS / "notebook.ipynb"
LINK = re.compile(r"\[([^]]+)\]\([\w-]+\.md\)")  # to another page, which a notebook does not have beside it
ITSELF = " This page is [a notebook](notebook.ipynb), too."
BLOCK = re.compile(r"^```python\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"^!\[[^]]*\]\([^)]*\)\n+", re.MULTILINE)  # of what the cell before shows by itself


def notebook(page: str) -> dict[str, object]:
    """Return a notebook of a page, without outputs."""
    text = LINK.sub(r"\1", PICTURE.sub("", page.replace(ITSELF, "")))
    parts = BLOCK.split(text)
    cells = [_cell(number, part.strip("\n"), code=number % 2 == 1) for number, part in enumerate(parts) if part.strip()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(number: int, source: str, *, code: bool) -> dict[str, object]:
    lines = source.splitlines(keepends=True)
    cell: dict[str, object] = {"id": f"cell-{number}", "metadata": {}, "source": lines}
    if code:
        return {"cell_type": "code", "execution_count": None, "outputs": [], **cell}
    return {"cell_type": "markdown", **cell}


def main() -> None:
    """Write the notebook."""
    NOTEBOOK.write_text(json.dumps(notebook(PAGE.read_text()), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
