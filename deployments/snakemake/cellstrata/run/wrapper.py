"""Snakemake wrapper: a whole configuration, `cellstrata run`. The first input is the configuration."""

import json
import subprocess
from pathlib import Path

snakemake = globals()["snakemake"]  # Snakemake puts it there
command = ["cellstrata", "run", snakemake.input[0], "--quiet", "--workers", str(snakemake.threads)]
for name, value in snakemake.params.items():  # any key of a configuration goes over the file
    command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
log = Path(snakemake.log[0] if snakemake.log else "/dev/stderr")
with log.open("w") as said:
    subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=True)
missing = [path for path in snakemake.output if not Path(path).exists()]
if missing:
    raise FileNotFoundError(
        f"{', '.join(missing)}: the run wrote no such result; see `output_dir` and the datasets' names"
    )
