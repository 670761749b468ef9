"""What a record of the data set is, and what makes records."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from data_pipeline.encoding import FaceRecord

FACTS = ("age", "male", "typology_angle")
"""What is known of a subject: years, 0 or 1, degrees (ITA of the cheeks)."""


class Example(NamedTuple):
    """One record of the data set."""

    number: int  # Within the source.
    subject: str
    name: str
    record: FaceRecord  # Coded, see `data_pipeline.encoding`.
    facts: dict[str, float]  # By `FACTS`; what is unknown is left out.


class Skipped(NamedTuple):
    """A record that could not be made."""

    name: str
    reason: str


class Source(Protocol):
    """Records in a fixed order, split by subject."""

    name: str
    description: str
    size: int  # Texels per side R.
    bits: int  # Of a code, 8 or 16.
    on_device: bool  # Whether an accelerator makes the records.

    @property
    def licence(self) -> str:
        """Of the records."""

    @property
    def num_coefficients(self) -> int:
        """Identity coefficients K."""

    def counts(self) -> dict[str, int]:
        """Records of every split, in the order in which they are written."""

    def examples(self, split: str, start: int, stop: int) -> Iterator[Example | Skipped]:
        """The records start to stop - 1 of a split."""

    def settings(self) -> dict[str, Any]:
        """What decides the records, for JSON; the number of records is not part of it."""

    def metadata(self) -> dict[str, Any]:
        """More for the description, for JSON: "identity_mirror" of `identity_mirror`."""
