"""How fast each backend computes the bundled embedder, and how near its vectors come to float32.

The texts are windows of ordinary assistant answers, of 4 to 64 words, in calls of 64 as the server makes them. Every
backend gets the same batches, ordered by length. Backends whose packages do not fit ours can be measured with the
Python of another environment: `--also PYTHON`, as often as needed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from bench.dataset import add_data_option, benign
from bench.report import table, write_section
from guard.windows import windows_of
from index.embedder import BFLOAT16, FLOAT32
from index.transformer import TransformerEmbedder, _bundled, has_native_bfloat16

AGREEMENT_TEXTS = 1000
SPEED_TEXTS = 384
CALL = 64
WORDS = (4, 64)
HOW = {
    "onnx": "`pip install sentence-transformers[onnx]` (in an environment of its own: it needs transformers 4)",
    "openvino": "`pip install optimum-intel[openvino]` (in an environment of its own: it needs transformers < 5.6)",
}


def sample(data: Path, count: int) -> list[str]:
    """Windows of benign answers, drawn with a fixed seed."""
    draw = random.Random(7)
    answers = benign(data)
    draw.shuffle(answers)
    texts = list[str]()
    for answer in answers[: count // 5]:
        texts += [window.text.strip() for window in windows_of(answer.text)]
    texts = [text for text in dict.fromkeys(texts) if WORDS[0] <= len(text.split()) <= WORDS[1]]
    draw.shuffle(texts)
    return texts[:count]


def loaded(backend: str, folder: Path, threads: int) -> TransformerEmbedder:
    """The bundled model on this backend. Raises `ImportError` when its packages are missing."""
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    engine, precision = backend.split("-")
    options: dict[str, Any] = {}
    if engine == "onnx":
        import onnxruntime

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = threads
        options = {"session_options": session, "provider": "CPUExecutionProvider"}
        options["file_name"] = "onnx/model_qint8_avx512_vnni.onnx" if precision == "int8" else "onnx/model.onnx"
    elif engine == "openvino":
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        options = {"ov_config": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}}
    try:
        model = SentenceTransformer(str(folder), backend=engine, device="cpu", model_kwargs=options)
    except Exception as cause:  # sentence-transformers raises a bare Exception when a package is missing
        raise ImportError(str(cause).splitlines()[0]) from cause
    if backend == BFLOAT16:
        model.to(torch.bfloat16)
    if not hasattr(model, "preprocess"):
        model.preprocess = model.tokenize  # the same under its former name
    return TransformerEmbedder(model.eval(), backend, "", folder, backend)


def exported(folder: Path) -> Path:
    """A copy of the bundled model that has ONNX files beside the weights, where ONNX is installed."""
    shutil.copytree(_bundled(), folder, dirs_exist_ok=True)
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.backend import export_dynamic_quantized_onnx_model

        model = SentenceTransformer(str(folder), backend="onnx", device="cpu")
        model.save_pretrained(str(folder))
        export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(folder))
    except Exception as cause:  # noqa: BLE001  # sentence-transformers raises a bare Exception
        print(f"no ONNX files were made: {str(cause).splitlines()[0]}", file=sys.stderr)
    return folder


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The least wall and processor seconds of several runs."""
    walls, cpus = list[float](), list[float]()
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def measure(texts: list[str], threads: list[int], repeats: int) -> list[dict[str, Any]]:
    """One row per backend that is installed here and per number of threads."""
    rows = list[dict[str, Any]]()
    calls = [texts[at : at + CALL] for at in range(0, SPEED_TEXTS, CALL)]
    with tempfile.TemporaryDirectory() as place:
        folder = exported(Path(place) / "model")
        reference = loaded(FLOAT32, folder, max(threads)).encode(texts)
        names = [FLOAT32, BFLOAT16, "onnx-float32", "onnx-int8", "openvino-float32", "openvino-bfloat16"]
        for count in threads:
            for name in names:
                try:
                    embedder = loaded(name, folder, count)
                except ImportError as cause:
                    print(f"{name} was not measured: {cause}", file=sys.stderr)
                    continue
                cosines = (embedder.encode(texts) * reference).sum(axis=1)
                wall, cpu = timed(lambda e=embedder: [e.encode(call) for call in calls], repeats)
                done = sum(map(len, calls))
                row = {"backend": name, "threads": count, "per_s": done / wall, "per_cpu_s": done / cpu}
                rows.append(row | {"least": float(cosines.min()), "mean": float(cosines.mean())})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def elsewhere(python: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The same, measured with the Python of another environment."""
    threads = ",".join(map(str, arguments.threads))
    options = ["--data", str(arguments.data), "--threads", threads, "--repeats", str(arguments.repeats), "--json"]
    done = subprocess.run([python, "-m", "bench.backends", *options], stdout=subprocess.PIPE, check=True, text=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def related(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the speed as a ratio to float32 of the same run."""
    base = {row["threads"]: row["per_cpu_s"] for row in rows if row["backend"] == FLOAT32}
    return [row | {"ratio": row["per_cpu_s"] / base[row["threads"]]} for row in rows]


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    counts = [1, 2]
    parser.add_argument("--threads", type=lambda s: [int(n) for n in s.split(",")], default=counts, help="such as 1,2")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the fastest counts (%(default)s)")
    parser.add_argument("--also", action="append", default=[], metavar="PYTHON", help="measure there as well")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON and write nothing")
    arguments = parser.parse_args()
    texts = sample(arguments.data, AGREEMENT_TEXTS)
    console = Console(stderr=True)
    with console.status("measuring the backends that are installed here"):
        rows = related(measure(texts, arguments.threads, arguments.repeats))
    if arguments.json:
        print(json.dumps(rows))
        return
    for python in arguments.also:
        with console.status(f"measuring with {python}"):
            rows += [row for row in elsewhere(python, arguments) if not row["backend"].startswith("torch")]
    rows.sort(key=lambda row: (row["threads"], -row["ratio"]))
    cells = [
        [
            r["backend"],
            str(r["threads"]),
            f"{r['ratio']:.2f}",
            f"{r['per_s']:.0f}",
            f"{r['least']:.4f}",
            f"{r['mean']:.4f}",
        ]
        for r in rows
    ]
    head = ["backend", "threads", "speed per CPU second, to float32", "windows/s", "least cosine", "mean cosine"]
    measured = table(head, cells)
    missing = [how for engine, how in HOW.items() if not any(r["backend"].startswith(engine) for r in rows)]
    left = "".join(f"\n\nNot installed here: {how}, then name its Python with `--also`." for how in missing)
    native = "has" if has_native_bfloat16() else "has not"
    words = float(np.mean([len(text.split()) for text in texts]))
    body = BODY.format(measured=measured, native=native, count=len(texts), words=words, call=CALL)
    write_section("backends", "Embedding backends", "python -m bench backends", body + left)
    print(measured)


BODY = """The bundled embedder on windows of ordinary assistant answers (4 to 64 words, {words:.0f} on average), in
calls of {call}; every backend gets the same batches, ordered by length. Agreement is the cosine with the float32 vector
of the same text, over {count} texts. This processor {native} bfloat16 in hardware. OpenVINO in int8 was left out: it
needs a data set to quantise with.

{measured}

`auto` takes torch's bfloat16 where the processor has it and float32 elsewhere: torch is needed in any case, and what
the other two runtimes need besides cannot be installed beside the other packages.
"""


if __name__ == "__main__":
    main()
