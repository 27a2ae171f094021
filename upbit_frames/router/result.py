"""What the router returns for one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from upbit_frames.exchange.wire.message_tables import CachedRows

__all__ = ["Result"]


@dataclass
class Result:
    """A table and its metadata.

    Attributes
    ----------
    table : pyarrow.Table
        None where ``cached`` has it.
    meta : dict
        JSON scalars, lists and dicts only; becomes ``attrs["upbit_frames"]``.
    warnings : list of str
        Emitted for the user, at the line of the call.
    cached : CachedRows or None
        Cached rows of the live stream, with the tables and frames built of them so far.
    fresh : bool
        Whether the caller owns the table's buffers and may reuse them in place.
    block : numpy.ndarray or None
        The memory in which the table's numbers lie, a row for each column, if they were read into one.
    ends : dict
        Of candles: up to where each market's rows are complete.
    """

    table: pa.Table
    meta: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    cached: CachedRows | None = None
    fresh: bool = False
    block: NDArray[np.float64] | None = None
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def arrow(self) -> pa.Table:
        """The table; built now where only the rows are cached."""
        return self.table if self.cached is None else self.cached.table
