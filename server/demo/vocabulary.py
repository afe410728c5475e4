"""The tiny model's tokenizer: byte-level BPE trained on the corpus, with a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from server.demo.corpus import Corpus
from server.demo.curriculum import INSTRUCTION, REFUSAL, SYSTEM, TOOL_LISTING, TOOL_NAME, Conversation, answered, noted

END: Final = "<|end|>"
_ROLES: Final = {role: f"<|{role}|>" for role in ("system", "user", "assistant", "tool")}
UNLEARNT: Final = -100
"""The label of a token that no loss is computed for."""

CHAT_TEMPLATE: Final = (
    "{%- if tools %}"
    "{{- '<|system|>Tools: ' + (tools | map(attribute='function.name') | join(', ')) + '<|end|>' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|' + message['role'] + '|>' + (message['content'] or '') }}"
    "{%- for call in message['tool_calls'] or [] %}"
    '{{- \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}"
    "{{- '}\\n</tool_call>' }}"
    "{%- endfor %}"
    "{{- '<|end|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


class Vocabulary:
    """Text to token ids and back, and conversations to what the model is trained on."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.end = self._id(END)

    @classmethod
    def train(cls, corpus: Corpus, size: int) -> Vocabulary:
        """A vocabulary of at most `size` tokens, learnt from the corpus."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[END, *_ROLES.values()],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(corpus), trainer)
        return cls(tokenizer)

    def lesson(self, conversation: Conversation) -> tuple[list[int], list[int]]:
        """Token ids of the conversation and, one per token, its label: itself where learnt, else `UNLEARNT`."""
        ids: list[int] = []
        labels: list[int] = []
        for turn in conversation:
            body = [*self._tokenizer.encode(turn.text).ids, self.end]
            ids += [self._id(_ROLES[turn.role]), *body]
            labels += [UNLEARNT, *(body if turn.learnt else [UNLEARNT] * len(body))]
        return ids, labels

    def save(self, directory: Path) -> None:
        """Writes the files that any `AutoTokenizer` reads."""
        from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # takes seconds to import

        wrapped = {"tokenizer_object": self._tokenizer, "eos_token": END, "pad_token": END}
        tokenizer = PreTrainedTokenizerFast(**wrapped)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        tokenizer.chat_template = CHAT_TEMPLATE
        tokenizer.save_pretrained(str(directory))

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        assert found is not None, f"{token} is in every vocabulary that was trained here"
        return found


def _texts(corpus: Corpus) -> Iterable[str]:
    for exchange in corpus.exchanges:
        yield from (turn.text for turn in answered(exchange))
    yield from (turn.text for turn in noted(corpus.small_talk[0]) for _ in range(3))
    yield from (SYSTEM, INSTRUCTION, REFUSAL, TOOL_LISTING.format(names=TOOL_NAME))
