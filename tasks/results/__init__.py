"""What a dataset came to, and what a result says of itself: provenance, explanation.

Start with `result.publish_result`.
Imports from this project: inputs, advice, trees, publishing, colours and what is below; never figures or report.
"""
