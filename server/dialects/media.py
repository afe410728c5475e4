"""Parts of messages that no text detector can read: pictures, sound, film, files. They are options of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.dialects.option_table import PASS, STRIP, Surface
from server.dialects.options import not_allowed

TEXT_PARTS: Final = frozenset(
    {"text", "input_text", "output_text", "refusal", "thinking", "reasoning", "reasoning_text", "summary_text"}
    | {"tool_reference"}
)
_IMAGES: Final = ("image_url", "image_pil", "image_embeds", "input_image", "image")
_AUDIO: Final = ("input_audio", "audio_url", "audio_embeds", "audio")
_VIDEO: Final = ("video_url", "video_embeds", "input_video", "video")
_FILES: Final = ("file", "input_file", "document", "prompt_embeds", "file_url", "file_id")
_OPTION: Final[Mapping[str, str]] = {
    **dict.fromkeys(_IMAGES, "images"),
    **dict.fromkeys(_AUDIO, "audio"),
    **dict.fromkeys(_VIDEO, "video"),
    **dict.fromkeys(_FILES, "files"),
}
MEDIA_KEYS: Final = frozenset(_OPTION)
"""Fields of a part that hold data or a link to it."""


def medium_of(part: Mapping[str, Any]) -> str | None:
    """The option that a part falls under; None for text. A part of an unknown type is a file: nobody here reads it."""
    found = next((_OPTION[key] for key in part if key in _OPTION and part[key] is not None), None)
    if found is not None:
        return found
    kind = part.get("type")
    if kind is None or kind in TEXT_PARTS:
        return None
    return _OPTION.get(kind, "files") if isinstance(kind, str) else "files"


def take_media(messages: list[dict[str, Any]], surface: Surface) -> tuple[str, ...]:
    """Take out the parts that are stripped, in place, and name their options. Raises `RequestRefused`."""
    stripped: set[str] = set()
    for number, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        out = set(_unreadable(content, surface, f"messages[{number}].content"))
        if out:
            stripped.update(out)
            message["content"] = [part for part in content if not isinstance(part, dict) or medium_of(part) not in out]
    return tuple(sorted(stripped))


def _unreadable(content: list[Any], surface: Surface, where: str) -> Iterator[str]:
    for number, part in enumerate(content):
        option = medium_of(part) if isinstance(part, dict) else None
        if option is None:
            continue
        treatment = surface.treatment(option)
        if treatment is STRIP:
            yield option
        elif treatment is not PASS:
            raise not_allowed(option, f"{where}[{number}]")
