"""The training: one thread, a lesson at a time, a checkpoint every few minutes."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tools.tiny_whisper.checkpoint import Trainee
from tools.tiny_whisper.corpus import load_corpus
from tools.tiny_whisper.curriculum import lesson
from tools.tiny_whisper.network import Dimensions, TinyWhisper
from tools.tiny_whisper.objective import Loss, Objective
from tools.tiny_whisper.plan import Pace, TrainingPlan
from tools.tiny_whisper.vocabulary import build_tokenizer, lay_out
from tools.tiny_whisper.windows import WindowMaker

_SMOOTHING = 0.98
_MOST_GRADIENT = 1.0
_WEIGHT_DECAY = 0.01


@dataclass(slots=True)
class _Average:
    """A running mean that begins with the first value."""

    value: float = math.nan

    def add(self, value: float) -> None:
        if not math.isnan(value):
            self.value = value if math.isnan(self.value) else _SMOOTHING * self.value + (1 - _SMOOTHING) * value


class _Progress:
    """One line now and then: where it stands, how well, how long still."""

    def __init__(self, plan: TrainingPlan, first_step: int, every_seconds: float, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._first_step = first_step
        self._every_seconds = every_seconds
        self._say = say
        self._began = self._said = time.monotonic()
        self._loss, self._words_right = _Average(), _Average()

    def done(self, step: int, stage: int, loss: Loss) -> None:
        """Take note of a step; `step` counts from 1."""
        self._loss.add(loss.tokens)
        self._words_right.add(loss.words_right)
        now = time.monotonic()
        if now - self._said < self._every_seconds and step < self._plan.steps:
            return
        self._said = now
        per_step = (now - self._began) / (step - self._first_step)
        left = (self._plan.steps - step) * per_step
        self._say(
            f"train: step {step} of {self._plan.steps}, stage {stage}, loss {self._loss.value:.3f}, "
            f"words right {self._words_right.value:.0%}, {per_step:.2f} s a step, {left / 60:.0f} min left"
        )


def train(corpus: Path, checkpoint: Path, plan: TrainingPlan, pace: Pace, *, say: Callable[[str], None]) -> int:
    """Train, going on from the checkpoint if there is one; returns the number of steps that are done.

    Raises:
        CorpusBroken: there is no corpus to train on.
        CheckpointForeign: the checkpoint belongs to another plan.
    """
    torch.set_num_threads(pace.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(plan.seed)
    tokenizer = build_tokenizer()
    layout = lay_out(tokenizer)
    network = TinyWhisper(layout, Dimensions())
    objective = Objective(layout, network.size.width)
    trainee = Trainee(network, objective, _optimizer(network, objective))
    if checkpoint.exists():
        trainee.load(checkpoint, plan)
        say(f"train: going on after step {trainee.step} of {plan.steps}")
    maker = WindowMaker(load_corpus(corpus), tokenizer, layout)
    progress = _Progress(plan, trainee.step, pace.report_seconds, say)
    saved = time.monotonic()
    last_step = min(plan.steps, pace.until_step or plan.steps)
    while trainee.step < last_step:
        now = lesson(trainee.step, plan.steps, plan.peak_rate, plan.seed)
        for group in trainee.optimizer.param_groups:
            group["lr"] = now.rate
        loss: Loss = objective(network, maker.batch(now.shape, f"{plan.seed}/batch/{trainee.step}"), now)
        trainee.optimizer.zero_grad()
        torch.autograd.backward(loss.total)
        nn.utils.clip_grad_norm_([*network.parameters(), *objective.parameters()], _MOST_GRADIENT)
        trainee.optimizer.step()
        trainee.step += 1
        progress.done(trainee.step, now.stage, loss)
        if time.monotonic() - saved > pace.checkpoint_seconds:
            trainee.save(checkpoint, plan)
            saved = time.monotonic()
    trainee.save(checkpoint, plan)
    return trainee.step


def _optimizer(network: nn.Module, objective: nn.Module) -> torch.optim.Optimizer:
    learnt = [one for one in (*network.parameters(), *objective.parameters()) if one.requires_grad]
    groups = [
        {"params": [one for one in learnt if one.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [one for one in learnt if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))
