"""The judge that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from server.disclosure import Discloser, Reveal
from server.judges.chat_judge import ChatModel
from server.judges.cross_encoder import load_cross_encoder
from server.judges.judge import JudgeLimits, JudgeModel, JudgeOutcome, ModelJudge
from server.settings import Settings


def open_judge(settings: Settings, reveal: Reveal, count: Callable[[JudgeOutcome, int], None]) -> ModelJudge | None:
    """None when the judge is off. May take seconds to load. Raises `JudgeRefused`."""
    model = _model(settings)
    if model is None:
        return None
    limits = JudgeLimits(
        timeout_s=settings.judge_call_timeout_s,
        calls_per_minute=settings.judge_calls_per_minute,
        cache_entries=settings.judge_cache_entries,
        confidence=settings.judge_confidence,
    )
    return ModelJudge(model, Discloser(reveal), limits, count)


def _model(settings: Settings) -> JudgeModel | None:
    if settings.judge_model is None:
        return None
    if settings.judge == "cross-encoder":
        return load_cross_encoder(settings.judge_model)
    if settings.judge_url is None:
        return None
    key = settings.judge_api_key
    secret = key.get_secret_value() if key else None
    return ChatModel(settings.judge_url, settings.judge_model, secret, settings.judge_parallel_calls)
