"""What the network is taught: the next token, where its word is spoken, and which word is spoken at each frame."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.tiny_whisper.curriculum import Lesson
from tools.tiny_whisper.network import TinyWhisper
from tools.tiny_whisper.vocabulary import Layout
from tools.tiny_whisper.windows import Batch

_TIME_SPREAD_TOKENS = 1.5
"""A time that is off by one token (20 ms) is nearly right."""
_TIME_REACH_TOKENS = 4
_TIME_WEIGHT = 0.5
_LEAST_SPAN_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """The outcome of one batch."""

    total: Tensor
    """What is minimised."""
    tokens: float
    """Mean negative log probability of the right token."""
    words_right: float
    """Share of text tokens whose most probable guess is right; NaN without text."""


class Objective(nn.Module):
    """The losses, and the namer that only training needs."""

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        self.layout = layout
        self.namer = nn.Linear(width, layout.end + 1)
        reach = range(-_TIME_REACH_TOKENS, _TIME_REACH_TOKENS + 1)
        near = [math.exp(-(away**2) / (2 * _TIME_SPREAD_TOKENS**2)) for away in reach]
        self.nearness = tuple((away, weight / sum(near)) for away, weight in zip(reach, near, strict=True))

    def forward(self, network: TinyWhisper, batch: Batch, lesson: Lesson) -> Loss:
        """Run the network over a batch, in bfloat16 where that is safe."""
        mel, offsets, inputs, targets, spans, spoken = (
            torch.from_numpy(array)
            for array in (batch.mel, batch.offsets, batch.inputs, batch.targets, batch.spans, batch.spoken)
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            heard, logits, seen = network(mel, offsets, inputs)
        learnt = targets >= 0
        log_probs = logits[learnt].float().log_softmax(-1)
        wanted = targets[learnt]
        tokens = self._token_loss(log_probs, wanted)
        total = tokens + lesson.attention_weight * _attention_loss(seen.float(), spans)
        if lesson.naming_weight and bool((spoken >= 0).any()):
            named = self.namer(heard[spoken >= 0].float())
            total = total + lesson.naming_weight * functional.cross_entropy(named, spoken[spoken >= 0])
        text = wanted < self.layout.end
        right = (log_probs.argmax(-1) == wanted)[text].float().mean()
        return Loss(total, float(tokens.detach()), float(right))

    def _token_loss(self, log_probs: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy; times are taught with their neighbours, and count less."""
        loss = -log_probs.gather(1, wanted[:, None])[:, 0]
        timed = wanted >= self.layout.first_time
        if bool(timed.any()):
            time, time_log_probs = wanted[timed], log_probs[timed]
            spread = torch.zeros(len(time))
            for away, weight in self.nearness:
                near = (time + away).clamp(self.layout.first_time, self.layout.size - 1)
                spread = spread + weight * time_log_probs.gather(1, near[:, None])[:, 0]
            loss = loss.masked_scatter(timed, -_TIME_WEIGHT * spread)
        return loss.mean()


def _attention_loss(seen: Tensor, spans: Tensor) -> Tensor:
    """How little the aligned head looks at the word that it is about to write."""
    placed = spans[..., 0] >= 0
    if not bool(placed.any()):
        return torch.zeros(())
    attention, span = seen[placed], spans[placed]
    frames = torch.arange(attention.shape[1])[None]
    end = torch.maximum(span[:, 1:], span[:, :1] + _LEAST_SPAN_FRAMES)
    inside = (frames >= span[:, :1]) & (frames < end)
    return -(attention * inside).sum(-1).clamp(1e-6).log().mean()
