"""What a run did and when: its record in `run.json`, and that as a trace for the viewers of browsers.

Start with `run_record.run_record`; what a piece of work took is measured by `workers.usage`.
Imports from this project: results, workers and what is below.
"""
