"""The steps between splits that read the input's expression; each is a process of its own beside the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.flows.submission import Steps, Submitted
from cellstrata.tasks.branches.child_markers import ValuesRequest, find_values, name_values, tell_children
from cellstrata.tasks.branches.embedding import BranchRequest, embed_branches, find_branches
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.trees.split_markers import UntoldSplit
from cellstrata.tasks.trees.tree import Pending


@dataclass(frozen=True, kw_only=True)
class ExpressionSteps:
    """What is made of the expression of one file while its trees grow."""

    steps: Steps
    source: Input
    settings: ClusteringConfig
    cache: Cache
    refresh: bool
    rehash: bool

    async def values(self) -> str | None:
        """Return what names the values in which genes are found that tell children apart, None where no rule asks.

        Raises
        ------
        InputError
            If they are not there.
        """
        if not self.settings.asks_child_markers:
            return None
        name = f"{self.source.name} · digest of {self.settings.expression.element}"
        return await self.steps.run(name, "apart", name_values, self._request, self.cache, find=find_values)

    def derive(self, name: str, nodes: Sequence[Pending]) -> Submitted:
        """Submit what derives the embeddings of some clusters' own; all of them are asked for in the same way."""
        request = BranchRequest.of(self.source.opened, nodes, rehash=self.rehash)
        return self.steps.submit_apart(name, embed_branches, (request, self.cache, self.refresh), find_branches)

    def tell(self, name: str, splits: Sequence[UntoldSplit]) -> Submitted:
        """Submit what finds the genes that tell the children of some splits apart."""
        return self.steps.submit_apart(name, tell_children, (self._request, splits, self.cache, self.refresh))

    @property
    def _request(self) -> ValuesRequest:
        return ValuesRequest(source=self.source.opened, asked=self.settings.expression, rehash=self.rehash)
