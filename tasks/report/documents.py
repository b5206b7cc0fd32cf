"""Pages from the templates in `assets`: every text that comes from outside is escaped, whoever wrote the template."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
from functools import cache

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

_TOLD = (  # what is said where a script fails, as in a browser without DecompressionStream
    "(error) => { console.error(error); const said = document.createElement('p'); said.className = 'notices'; "
    "said.textContent = `The interactive part did not start (${error.message}); a browser of 2023 or later has all it "
    "needs.`; document.getElementById('main').prepend(said); }"
)


def document(template: str, key: str, scripts: tuple[str, ...], **parts: object) -> str:
    """Fill a template with `parts`, and with the styles and scripts that all pages share.

    Texts are escaped; what is Markup, as `embedded` returns it, is not. The page's policy allows
    nothing from anywhere, and no other script than this one.
    """
    body = "\n".join(_asset(f"{name}.js") for name in scripts)
    script = f'"use strict";(async () => {{\n{body}\n}})().catch({_TOLD});'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'sha256-{digest}'"
    return _templates().get_template(template).render(
        key=key, policy=policy, style=Markup(_asset("report.css")), script=Markup(script), **parts
    )  # fmt: skip


def embedded(value: object) -> Markup:
    """Return JSON that may stand within a script element."""
    found = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def assets_digest() -> str:
    """Return a digest of the templates, styles and scripts: a page made with others is made anew."""
    names = sorted(place.name for place in (importlib.resources.files("cellstrata.tasks.report") / "assets").iterdir())
    return hashlib.sha256("\0".join(_asset(name) for name in names).encode()).hexdigest()[:16]


@cache
def _asset(name: str) -> str:
    return (importlib.resources.files("cellstrata.tasks.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    return Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _shown(value: object) -> object:
    """HTML has no character 0, not even escaped."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
