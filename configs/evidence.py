"""What is asked of the evidence for splits, and the rules by which a split without it does not stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    WithJsonSchema,
    model_validator,
)

from cellstrata.configs.errors import did_you_mean, shown
from cellstrata.configs.values import CountFromZero, Share, refuse

FEWEST, MOST = 2, 100  # draws: of one nothing is known of its spread
MOST_MARKERS = 100  # so many are kept of each child against each sister
LARGEST = 30.0  # log2: a bound that none reaches refuses every split
FOLD_CHANGE = 1.0  # log2: twice as much, as scrattch.hicat's lfc.th

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _draws(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and FEWEST <= value <= MOST:
        return value
    raise refuse(f"must be a whole number from {FEWEST} to {MOST}, not {shown(value)}")


def _n_markers(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_MARKERS):
        return value
    raise refuse(f"must be a whole number from 0 to {MOST_MARKERS}, not {shown(value)}")


def _fold_change(value: object) -> object:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST):
        return value
    raise refuse(f"must be a number from 0 to {LARGEST:g}, not {shown(value)}", "1 is twice as much")


MarkerCount = Annotated[StrictInt, BeforeValidator(_n_markers), Field(ge=0, le=MOST_MARKERS)]
FoldChange = Annotated[float, BeforeValidator(_fold_change), Field(ge=0, le=LARGEST)]
Drawn = Annotated[StrictInt, BeforeValidator(_draws), Field(ge=FEWEST, le=MOST)]


class EvidenceConfig(BaseModel):
    """How much evidence is gathered for each split."""

    model_config = _STRICT

    halves: Drawn = Field(4, description="How often the cells of a split are halved, and the halves clustered apart.")
    null: Drawn = Field(4, description="How many clouds without groups are treated the same.")


class StopRules(BaseModel):
    """What a split needs to stand; its cells stay whole where it has not. None asks for nothing."""

    model_config = _STRICT

    replicability: Share | None = Field(None, description="Mean agreement (ARI) between halves clustered apart.")
    excess: Share | None = Field(
        None, description="How far that is above the one of clouds without groups, as a share of what these leave to 1."
    )
    p: Share | None = Field(None, description="How likely a cloud without groups replicates as well, at most.")
    min_children_cells: CountFromZero | None = Field(None, description="Cells that two of the children have at least.")
    min_donors: CountFromZero | None = Field(
        None, description="Groups of the first of `batch_keys` of which two of the children have 10 cells at least."
    )
    agreement: Share | None = Field(None, description="Mean agreement (ARI) between the runs of an ensemble.")
    min_markers: MarkerCount | None = Field(
        None,
        description="Marker genes that children have over each other, each over each, so many at least; children with "
        "fewer count as one. In the values that `markers` names, else in `X`.",
    )
    log_fold_change: FoldChange | None = Field(
        None, description="How much more of its markers a child expresses, log2. Default: 1, twice as much."
    )

    @property
    def asks_halves(self) -> bool:
        """Whether halves are to be clustered to know."""
        return any(bound is not None for bound in (self.replicability, self.excess, self.p))

    @property
    def asks_markers(self) -> bool:
        """Whether genes that tell children apart are to be found to know."""
        return bool(self.min_markers)

    @property
    def fold_change(self) -> float:
        """How much more of its markers a child expresses at least, log2."""
        return FOLD_CHANGE if self.log_fold_change is None else self.log_fold_change

    @property
    def ends_trees(self) -> bool:
        """Whether clouds without groups are refused, at whatever depth."""
        return bool(self.replicability or self.excess or self.min_markers) or (self.p is not None and self.p < 1)

    @model_validator(mode="after")
    def _whole(self) -> StopRules:
        if self.log_fold_change is not None and self.min_markers is None:
            raise refuse(
                "`log_fold_change` says what counts as a marker, and none is asked for", "write `min_markers: 5`"
            )
        return self


AUTO = StopRules(replicability=0.5, excess=0.4, p=0.05)  # measured: docs/evidence.md
# Of a further attempt at a cluster: each is another chance for a cloud to pass.
AGAIN = StopRules(replicability=0.6, excess=0.5, p=0.05)
NEVER = StopRules()


def _evidence(value: object) -> object:
    if value is None or value is False:
        return None
    if value is True:
        return EvidenceConfig()
    if isinstance(value, Mapping):  # YAML reads the key `null` as nothing
        return {"null" if key is None else key: number for key, number in value.items()}
    if isinstance(value, EvidenceConfig):
        return value
    raise refuse(f"must be true, false or a mapping such as {{halves: 4, null: 4}}, not {shown(value)}")


def _stop(value: Any) -> object:
    if value is None or isinstance(value, (Mapping, StopRules)):
        return value
    if value is False:
        return NEVER
    if value == "auto":
        return AUTO
    hint = did_you_mean(value, ["auto"]) if isinstance(value, str) else None
    raise refuse(
        f"must be `auto`, false or a mapping such as {{replicability: 0.5, p: 0.05}}, not {shown(value)}", hint
    )


def _spelled(rules: StopRules | None) -> object:
    if rules is None or rules == AUTO:
        return rules and "auto"
    return rules.model_dump(exclude_none=True) or False


_EVIDENCE_SCHEMA = {"anyOf": [{"type": "boolean"}, EvidenceConfig.model_json_schema(), {"type": "null"}]}
_STOP_SCHEMA = {"anyOf": [{"const": "auto"}, {"const": False}, StopRules.model_json_schema(), {"type": "null"}]}

AskedEvidence = Annotated[EvidenceConfig | None, BeforeValidator(_evidence), WithJsonSchema(_EVIDENCE_SCHEMA)]
AskedStop = Annotated[StopRules | None, BeforeValidator(_stop), PlainSerializer(_spelled), WithJsonSchema(_STOP_SCHEMA)]
