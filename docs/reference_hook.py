"""For MkDocs: puts the table of all keys, as the configuration's own model describes them, where a page asks for it."""

from __future__ import annotations

from typing import Any

from cellstrata.configs.schema import reference_table

MARK = "<!-- table of keys -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text with the table in the mark's place."""
    return markdown.replace(MARK, reference_table())
