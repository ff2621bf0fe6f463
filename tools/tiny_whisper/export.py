"""A checkpoint turned into a model directory that faster-whisper opens: CTranslate2's format, int8."""

import json
from pathlib import Path

from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs import attention_spec, common_spec, model_spec, transformer_spec
from ctranslate2.specs.whisper_spec import WhisperSpec
from tokenizers import Tokenizer
from torch import nn

from tools.tiny_whisper.checkpoint import load_network
from tools.tiny_whisper.network import (
    ALIGNED_HEAD,
    Attention,
    Decoder,
    DecoderLayer,
    Dimensions,
    Encoder,
    EncoderLayer,
    FeedForward,
    TinyWhisper,
)
from tools.tiny_whisper.vocabulary import Layout, build_tokenizer, lay_out

QUANTIZATIONS = ("int8", "float16", "float32")

_PREPROCESSOR = {"feature_size": 80, "sampling_rate": 16_000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
_BLANK = "Ġ"
"""How a byte-level tokenizer writes a blank."""


def export(checkpoint: Path, directory: Path, quantization: str = "int8") -> int:
    """Write the model directory: model.bin, config.json, vocabulary.json, tokenizer.json, preprocessor_config.json.

    Returns:
        The size of all files in bytes.
    """
    tokenizer = build_tokenizer()
    layout = lay_out(tokenizer)
    network = TinyWhisper(layout, Dimensions())
    load_network(network, checkpoint)
    network.eval()
    spec = _specification(network, tokenizer, layout)
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    (directory / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR), encoding="utf-8")
    return sum(path.stat().st_size for path in directory.iterdir() if path.suffix in {".bin", ".json"})


def _specification(network: TinyWhisper, tokenizer: Tokenizer, layout: Layout) -> WhisperSpec:
    size = network.size
    spec = WhisperSpec(size.encoder_layers, size.heads, size.decoder_layers, size.heads)
    _fill_encoder(spec.encoder, network.encoder)
    _fill_decoder(spec.decoder, network.decoder)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    spec.register_vocabulary(sorted(ids, key=ids.__getitem__))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids[_BLANK], layout.end]
    # Without these, CTranslate2 cannot detect languages.
    spec.config.lang_ids = sorted(layout.languages.values())
    spec.config.alignment_heads = [[size.decoder_layers - 1, ALIGNED_HEAD]]
    return spec


def _fill_encoder(spec: transformer_spec.TransformerEncoderSpec, encoder: Encoder) -> None:
    for filled, convolution in ((spec.conv1, encoder.conv1), (spec.conv2, encoder.conv2)):
        _fill_linear(filled, convolution)
    spec.position_encodings.encodings = encoder.positions.detach()
    _fill_norm(spec.layer_norm, encoder.norm)
    for filled, layer in zip(spec.layer, encoder.layers, strict=True):
        assert isinstance(layer, EncoderLayer)
        _fill_layer(filled, layer)


def _fill_decoder(spec: transformer_spec.TransformerDecoderSpec, decoder: Decoder) -> None:
    spec.embeddings.weight = decoder.embedding.weight.detach()
    spec.projection.weight = decoder.embedding.weight.detach()
    spec.position_encodings.encodings = decoder.positions.detach()
    _fill_norm(spec.layer_norm, decoder.norm)
    for filled, layer in zip(spec.layer, decoder.layers, strict=True):
        assert isinstance(layer, DecoderLayer)
        _fill_layer(filled, layer)
        _fill_attention(filled.attention, layer.cross_norm, layer.cross, apart=True)


def _fill_layer(spec: model_spec.LayerSpec, layer: EncoderLayer | DecoderLayer) -> None:
    _fill_attention(spec.self_attention, layer.attention_norm, layer.attention, apart=False)
    _fill_feed_forward(spec.ffn, layer.feed_forward_norm, layer.feed_forward)


def _fill_attention(
    spec: attention_spec.MultiHeadAttentionSpec, norm: nn.LayerNorm, attention: Attention, *, apart: bool
) -> None:
    """Fill self-attention, whose three inputs are one matrix, or cross-attention, whose queries stand apart."""
    query, key, value = (common_spec.LinearSpec() for _ in range(3))
    for filled, linear in ((query, attention.query), (key, attention.key), (value, attention.value)):
        _fill_linear(filled, linear)
    if apart:
        fuse_linear(spec.linear[0], [query])
        fuse_linear(spec.linear[1], [key, value])
    else:
        fuse_linear(spec.linear[0], [query, key, value])
    _fill_linear(spec.linear[-1], attention.out)
    _fill_norm(spec.layer_norm, norm)


def _fill_feed_forward(spec: transformer_spec.FeedForwardSpec, norm: nn.LayerNorm, layers: FeedForward) -> None:
    _fill_norm(spec.layer_norm, norm)
    _fill_linear(spec.linear_0, layers.up)
    _fill_linear(spec.linear_1, layers.down)


def _fill_linear(spec: common_spec.LinearSpec | common_spec.Conv1DSpec, linear: nn.Linear | nn.Conv1d) -> None:
    spec.weight = linear.weight.detach()
    if linear.bias is not None:
        spec.bias = linear.bias.detach()


def _fill_norm(spec: common_spec.LayerNormSpec, norm: nn.LayerNorm) -> None:
    spec.gamma = norm.weight.detach()
    spec.beta = norm.bias.detach()
