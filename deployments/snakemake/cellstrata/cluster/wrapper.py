"""Snakemake wrapper: one level of clustering, `cellstrata cluster`."""

import json
import subprocess
from pathlib import Path

OPTIONS = (
    "resolution", "algorithm", "level", "ensemble", "neighbors_key", "parent_key", "max_cluster_factor", "n_cell_cpu",
)  # fmt: skip
AS_JSON = ("neighbors_args", "clustering_args")

snakemake = globals()["snakemake"]  # Snakemake puts it there
asked = dict(snakemake.params.items())
unknown = sorted(set(asked) - {*OPTIONS, *AS_JSON})
if unknown:
    raise ValueError(f"params: {', '.join(unknown)}: there is {', '.join((*OPTIONS, *AS_JSON))}")
command = ["cellstrata", "cluster", snakemake.input[0], snakemake.output[0], "--threads", str(snakemake.threads)]
for name in OPTIONS:
    command += [f"--{name}", str(asked[name])] if name in asked else []
for name in AS_JSON:
    command += [f"--{name}", json.dumps(asked[name])] if name in asked else []
log = Path(snakemake.log[0] if snakemake.log else "/dev/stderr")
with log.open("w") as said:
    subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=True)
