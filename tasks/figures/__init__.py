"""Figures of a published result. matplotlib is imported here alone.

Start with `draw.draw_figures`; `wanted` lists the figures of a result.
Imports from this project: results, evaluation, colours and what is below.
"""
