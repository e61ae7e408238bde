"""One training on several devices: each computes some rows of a step, and all move by the sum of the gradients.

The processes find each other as `torchrun` would have them (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT);
Accelerate joins them, with NCCL between GPUs and gloo between CPUs. Run on CPUs only: no machine with several GPUs was
at hand.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Row = TypeVar("Row")


@dataclass(frozen=True)
class Ranks:
    """This process is number `index` of `count`; the first one alone writes and reports."""

    index: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def mine(self, rows: Sequence[Row]) -> list[Row]:
        """The share of this process; rows are of nearly one length."""
        return list(rows[self.index :: self.count])

    def summed(self, loss: float, gradients: "Sequence[torch.Tensor]") -> "tuple[float, list[torch.Tensor]]":
        """Of all processes, in one exchange."""
        if self.count == 1:
            return loss, list(gradients)
        import torch
        from accelerate.utils import reduce

        first = gradients[0]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [first.new_tensor([loss])])
        total: torch.Tensor = reduce(flat, "sum")
        pieces = total[:-1].split([gradient.numel() for gradient in gradients])
        shaped = [piece.view_as(gradient) for piece, gradient in zip(pieces, gradients, strict=True)]
        return float(total[-1]), shaped

    def any(self, flag: bool, device: "torch.device | str") -> bool:
        """Whether it is so in any process: a stop must come to all at the same step."""
        if self.count == 1:
            return flag
        import torch
        from accelerate.utils import reduce

        return bool(reduce(torch.tensor([float(flag)], device=device), "sum") > 0)


ALONE = Ranks()


def join() -> Ranks:
    """The other processes of this training, where the environment names any; blocks until all are there."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Ranks(state.process_index, state.num_processes)


def environment(index: int, count: int, port: int) -> dict[str, str]:
    """What process `index` of `count` on this machine is told."""
    return {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
