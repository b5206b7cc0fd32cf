"""Calls from Python on an AnnData in memory, in scverse's style: `cs.tl`, `cs.pl`, `cs.get`. No server, no Prefect.

Start with `tl.cluster`, which goes the way of the flow: the same inspection, growth, cache and labels.
Imports from this project: what is below; nothing imports it but the package's face.
"""
