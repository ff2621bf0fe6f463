"""The state of a training on disk: enough to go on to the same end as without the break."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tools.tiny_whisper.errors import CheckpointForeign, CheckpointMissing
from tools.tiny_whisper.plan import TrainingPlan


@dataclass(slots=True)
class Trainee:
    """What changes while training."""

    network: nn.Module
    objective: nn.Module
    optimizer: Optimizer
    step: int = 0
    """Steps that are done."""

    def save(self, path: Path, plan: TrainingPlan) -> None:
        """Write the state; a crash leaves the old file or the new one."""
        state = {
            "plan": asdict(plan),
            "step": self.step,
            "network": self.network.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path, plan: TrainingPlan) -> None:
        """Take up a saved state.

        Raises:
            CheckpointForeign: it belongs to another plan.
        """
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["plan"] != asdict(plan):
            raise CheckpointForeign(
                f"{path} was made with {state['plan']}; train with that plan, or with --fresh to begin anew"
            )
        self.network.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def load_network(network: nn.Module, path: Path) -> int:
    """Read a checkpoint's weights into a network; returns the number of steps behind them.

    Raises:
        CheckpointMissing: there is no such file.
    """
    if not path.is_file():
        raise CheckpointMissing(f"there is no {path}; `python -m tools.tiny_whisper train` makes it")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    return int(state["step"])
