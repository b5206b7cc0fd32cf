"""`cellstrata schema`: the JSON schema of the configuration, for editors."""

from __future__ import annotations

import json

from cellstrata.configs.form.reference import json_schema
from cellstrata.flows.commands.exit_codes import DONE


def schema() -> int:
    """Print it; returns the exit code."""
    print(json.dumps(json_schema(), indent=2))
    return DONE
