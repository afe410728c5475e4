"""BERT encoders (Devlin et al. 2019, arXiv 1810.04805), computed for inference only: the same weights, fewer steps.

The general implementation computes the padding of a batch too, multiplies by queries, keys and values one after the
other, and spends a third of the time of a short text between its steps. Here the tokens of all texts stand in one
row, without padding, except where they attend to each other:

```
    texts    |a a a a| |b b| |c c c|      row    a a a a b b c c c      every linear layer, once for all tokens
                                          attention     a a a a
                                                        b b . .         softmax over the tokens of each text
                                                        c c c .
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, normalize

_MODULES: Final = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_HIDDEN: Final = -1e9

FINE: Final = 16
COARSE: Final = 64
"""Tokens of all texts together are filled up to multiples of these, the first one up to `SHORT`."""
SHORT: Final = 256


class _Affine(NamedTuple):
    """`packed` says that the weight lies as the processor's kernels read it."""

    weight: Tensor
    bias: Tensor
    packed: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


class _Layer(NamedTuple):
    """One layer; `attend` holds the weights for queries, keys and values, one below the other."""

    attend: _Affine
    project: _Affine
    settle: _Affine
    widen: _Affine
    narrow: _Affine
    end: _Affine


class BertEncoder:
    """Mean-pooled vectors of texts that were tokenised. Thread-safe: it holds weights only."""

    def __init__(self, bert: Any) -> None:
        config, tables = bert.config, bert.embeddings
        self._heads = int(config.num_attention_heads)
        self._eps = float(config.layer_norm_eps)
        self._words: Tensor = tables.word_embeddings.weight
        self._places: Tensor = tables.position_embeddings.weight + tables.token_type_embeddings.weight[0]
        self._begin = _affine(tables.LayerNorm)
        self._layers = [self._layer(layer) for layer in bert.encoder.layer]

    @classmethod
    def of(cls, model: SentenceTransformer) -> BertEncoder | None:
        """The encoder of a model that is nothing but BERT and mean pooling, on a processor; None for any other."""
        parts: list[Any] = list(model)
        if [type(part).__name__ for part in parts] not in _MODULES or model.device.type != "cpu":
            return None
        bert = getattr(parts[0], "auto_model", None) or getattr(parts[0], "model", None)
        config = getattr(bert, "config", None)
        plain = (
            type(bert).__name__ == "BertModel"
            and getattr(config, "position_embedding_type", "absolute") == "absolute"
            and getattr(config, "hidden_act", "") == "gelu"
            and not getattr(config, "is_decoder", False)
            and getattr(parts[1], "pooling_mode", "") == "mean"
        )
        return cls(bert) if plain else None

    def vectors(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """One vector of length 1 per text, [n, dimensions], float32. A text is the tokens that it was read as."""
        with torch.inference_mode():
            lengths = torch.tensor([len(text) for text in texts])
            ids = torch.tensor([token for text in texts for token in text])
            grid, row = _placed(lengths)
            tokens = len(ids)
            ids, row = _filled(ids), _filled(row)
            x = self._words[ids] + self._places[row % grid.shape[1]]
            x = self._normed(x, self._begin)
            hidden = (grid < 0).to(torch.float32).mul_(_HIDDEN)[:, None, None, :]
            for layer in self._layers:
                x = self._through(layer, x, hidden, grid.clamp(min=0).flatten(), row)
            owners = torch.repeat_interleave(torch.arange(len(texts)), lengths)
            summed = torch.zeros(len(texts), x.shape[1]).index_add_(0, owners, x[:tokens].float())
            return normalize(summed, dim=1)

    @staticmethod
    def _layer(layer: Any) -> _Layer:
        own = layer.attention.self
        parts = [_affine(part) for part in (own.query, own.key, own.value)]
        attend = _Affine(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]))
        return _Layer(
            _packed(attend),
            _packed(_affine(layer.attention.output.dense)),
            _affine(layer.attention.output.LayerNorm),
            _packed(_affine(layer.intermediate.dense)),
            _packed(_affine(layer.output.dense)),
            _affine(layer.output.LayerNorm),
        )

    def _through(self, layer: _Layer, x: Tensor, hidden: Tensor, grid: Tensor, row: Tensor) -> Tensor:
        texts, longest = hidden.shape[0], hidden.shape[-1]
        attend = layer.attend(x)[grid]
        query, key, value = attend.view(texts, longest, 3, self._heads, -1).float().permute(2, 0, 3, 1, 4)
        near = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        weights = torch.softmax(near.add_(hidden), dim=-1)
        seen = (weights @ value).transpose(1, 2).reshape(texts * longest, -1).to(x.dtype)[row]
        x = self._normed(layer.project(seen).add_(x), layer.settle)
        wide = gelu(layer.widen(x))
        return self._normed(layer.narrow(wide).add_(x), layer.end)

    def _normed(self, x: Tensor, scale: _Affine) -> Tensor:
        return layer_norm(x, (x.shape[1],), scale.weight, scale.bias, self._eps)


def _packed(affine: _Affine) -> _Affine:
    """The same with its bfloat16 weight brought once into the order that otherwise each call brings it into; as it is
    where this build of PyTorch cannot. The products are the same to the last bit."""
    if affine.weight.dtype is not torch.bfloat16:
        return affine
    try:
        weight = torch.ops.mkldnn._reorder_linear_weight(affine.weight, COARSE)
        packed = _Affine(weight, affine.bias, True)
        packed(torch.zeros(FINE, affine.weight.shape[1], dtype=torch.bfloat16))
    except (AttributeError, NotImplementedError, RuntimeError):  # no such operator in this build: the same, slower
        return affine
    return packed


def _affine(module: Any) -> _Affine:
    return _Affine(module.weight.detach(), module.bias.detach())


def _filled(row: Tensor) -> Tensor:
    """With zeros up to one of a few lengths: the kernels of each length that occurs are made and kept."""
    step = FINE if len(row) <= SHORT else COARSE
    return torch.nn.functional.pad(row, (0, -len(row) % step))


def _placed(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Where each place of the padded grid [n, longest] stands in the row of all tokens, -1 for padding; and where each
    token of the row stands in the flattened grid."""
    longest = int(lengths.max())
    places = torch.arange(longest)
    held = places[None] < lengths[:, None]
    starts = torch.cumsum(lengths, 0) - lengths
    grid = torch.where(held, starts[:, None] + places[None], -1)
    return grid, torch.nonzero(held.flatten()).flatten()
