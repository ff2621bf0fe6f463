"""Whisper's network in plain torch, small: the layers and their order are what CTranslate2 expects."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.tiny_whisper.acoustics import BANDS
from tools.tiny_whisper.vocabulary import TIMES, Layout
from tools.tiny_whisper.windows import POSITIONS

ALIGNED_HEAD = 0
"""Head of the last decoder layer's cross-attention that is taught to look at the spoken word, for word times."""

_FUSED_ABOVE = 800
"""Keys above which the fused attention is worth it: on a CPU its backward pass is slow, but it saves memory."""
_POSITION_SCALE = 0.1
"""Whisper's sinusoids are so large that they drown a fresh convolution; a tenth of them trains several times faster.
The table is stored with the weights, so any scale is a valid Whisper."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """1.13 million parameters."""

    width: int = 96
    heads: int = 2
    encoder_layers: int = 3
    decoder_layers: int = 2
    hidden: int = 384
    text_positions: int = 448


class Attention(nn.Module):
    """Multi-head attention; keys have no bias, as in Whisper."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, source: Tensor, *, causal: bool = False, observed: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `x` to `source`, both of shape (batch, positions, width).

        Returns:
            The result, and the attention of the `observed` head, shape (batch, positions, source positions).
        """
        query, key, value = self._split(self.query(x)), self._split(self.key(source)), self._split(self.value(source))
        seen: Tensor | None = None
        if key.shape[2] > _FUSED_ABOVE and observed is None:
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        else:
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
            if causal:
                ahead = torch.full(scores.shape[2:], -1e4, dtype=scores.dtype, device=scores.device).triu(1)
                scores = scores + ahead
            weights = scores.softmax(-1)
            mixed = weights.to(value.dtype) @ value
            seen = None if observed is None else weights[:, observed]
        return self.out(mixed.transpose(1, 2).flatten(2)), seen

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, positions, width) in and out."""
        mixed: Tensor = self.down(functional.gelu(self.up(x)))
        return mixed


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each normalised before and added after."""

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size.width)
        self.attention = Attention(size.width, size.heads)
        self.feed_forward_norm = nn.LayerNorm(size.width)
        self.feed_forward = FeedForward(size.width, size.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, positions, width) in and out."""
        normal = self.attention_norm(x)
        x = x + self.attention(normal, normal)[0]
        mixed: Tensor = self.feed_forward(self.feed_forward_norm(x))
        return x + mixed


class DecoderLayer(nn.Module):
    """As the encoder's, but looking back only, and with attention to what was heard."""

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size.width)
        self.attention = Attention(size.width, size.heads)
        self.cross_norm = nn.LayerNorm(size.width)
        self.cross = Attention(size.width, size.heads)
        self.feed_forward_norm = nn.LayerNorm(size.width)
        self.feed_forward = FeedForward(size.width, size.hidden)

    def forward(self, x: Tensor, heard: Tensor, observed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return the next state and the observed head's cross-attention."""
        normal = self.attention_norm(x)
        x = x + self.attention(normal, normal, causal=True)[0]
        mixed, seen = self.cross(self.cross_norm(x), heard, observed=observed)
        x = x + mixed
        return x + self.feed_forward(self.feed_forward_norm(x)), seen


class Encoder(nn.Module):
    """Two convolutions, the second one halving the frames, then layers."""

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, size.width, 3, padding=1)
        self.conv2 = nn.Conv1d(size.width, size.width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(_POSITION_SCALE * _sinusoids(POSITIONS, size.width), requires_grad=False)
        self.layers = nn.ModuleList(EncoderLayer(size) for _ in range(size.encoder_layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, mel: Tensor, offsets: Tensor) -> Tensor:
        """Encode windows.

        Args:
            mel: shape (batch, 80, frames).
            offsets: position of each window's first encoder frame, shape (batch,).

        Returns:
            Shape (batch, frames / 2, width).
        """
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positions[offsets[:, None] + torch.arange(x.shape[1], device=x.device)[None]]
        for layer in self.layers:
            x = layer(x)
        normal: Tensor = self.norm(x)
        return normal


class Decoder(nn.Module):
    """Layers over token embeddings, which are also the output's weights."""

    def __init__(self, size: Dimensions, tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, size.width)
        self.positions = nn.Parameter(torch.zeros(size.text_positions, size.width))
        self.layers = nn.ModuleList(DecoderLayer(size) for _ in range(size.decoder_layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, shape (batch, tokens, vocabulary), and the aligned head's attention to the frames."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        seen: Tensor | None = None
        for number, layer in enumerate(self.layers, start=1):
            x, seen = layer(x, heard, ALIGNED_HEAD if number == len(self.layers) else None)
        assert seen is not None
        return self.norm(x) @ self.embedding.weight.T, seen


class TinyWhisper(nn.Module):
    """An encoder and a decoder."""

    def __init__(self, layout: Layout, size: Dimensions) -> None:
        super().__init__()
        self.size = size
        self.encoder = Encoder(size)
        self.decoder = Decoder(size, layout.size)
        with torch.no_grad():
            self.decoder.embedding.weight.normal_(0, 0.05)
            self.decoder.positions.normal_(0, 0.02)
            # A time token starts as the encoder's own code of that position: reading a time off is then soon learnt.
            times = slice(layout.first_time, layout.first_time + TIMES - 1)
            self.decoder.embedding.weight[times] = 0.7 * self.encoder.positions

    def forward(self, mel: Tensor, offsets: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the encoder's output, the logits and the aligned head's attention."""
        heard = self.encoder(mel, offsets)
        logits, seen = self.decoder(tokens, heard)
        return heard, logits, seen


def _sinusoids(positions: int, width: int) -> Tensor:
    step = math.log(10_000) / (width // 2 - 1)
    angles = torch.arange(positions)[:, None] * torch.exp(-step * torch.arange(width // 2))[None]
    return torch.cat([angles.sin(), angles.cos()], 1)
