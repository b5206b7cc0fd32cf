"""What speaks for a split, beyond that it was found: do halves of its cells replicate it, how far are its parts?

Start with `evidence.evidence_for`; `stop` says when evidence is too weak for a split to stand.
Imports from this project: configs, imports, kernels, markers and stores; nothing is read or kept.
"""
