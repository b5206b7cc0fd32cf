"""One self-contained HTML page for each dataset, and an index for each run, drawn from what was published."""
