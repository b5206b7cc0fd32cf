"""What the columns are called in which a curation puts the names of clusters."""

from __future__ import annotations

NAME, ONTOLOGY = "_name", "_ontology_term_id"  # what they end in, the latter as CELLxGENE has it
JOINED = " + "  # stands between the ids of clusters that are merged and have no name
