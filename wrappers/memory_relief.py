"""What is given up when a row does not fit into a GPU's memory: time, then the length of the row, never the result.

From the first failure on, or from the start where the recipe says so, activations are computed twice instead of kept
(about a third more work); a row that still does not fit is halved, and the gradients of its halves are added.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Compute = Callable[[tuple[int, ...]], Any]


class MemoryRelief:
    """`compute` gives loss and gradients of a row of conversations."""

    def __init__(self, model: Any, *, recomputes: bool = False) -> None:
        self._model = model
        self.recomputes = False
        if recomputes:
            self._recompute()

    def gradients(self, compute: Compute, row: tuple[int, ...]) -> "tuple[float, Sequence[torch.Tensor]]":
        """Loss and gradients of the row; torch's OutOfMemoryError where a single conversation does not fit."""
        import torch

        try:
            return compute(row)  # type: ignore[no-any-return]
        except torch.OutOfMemoryError:
            if self.recomputes and len(row) == 1:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self.recomputes:
            logger.warning("A row does not fit into memory: from here on activations are computed twice")
            self._recompute()
            return self.gradients(compute, row)
        logger.warning("A row of %d conversations does not fit into memory: it is halved", len(row))
        middle = len(row) // 2
        first, second = (self.gradients(compute, half) for half in (row[:middle], row[middle:]))
        return first[0] + second[0], [one + other for one, other in zip(first[1], second[1], strict=True)]

    def _recompute(self) -> None:
        self._model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.recomputes = True
