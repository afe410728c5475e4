"""The ids of kept responses: each names the principal it belongs to, without a table of who owns what.

```
    the model server's id:  resp_8f0c…            the client's:  resp_8f0c…_3b9a…
                                                                          HMAC(key, namespace, principal, id)
```
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

_TAG: Final = 32
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class BoundIds:
    """The ids of one principal. `key` is shared by all that serve it."""

    key: bytes = field(repr=False)
    namespace: str
    principal: str

    def bind(self, response_id: str) -> str:
        """What the client is told."""
        return f"{response_id}_{self._tag(response_id)}"

    def unbind(self, told: str) -> str | None:
        """The model server's id; None for what this principal was never told."""
        response_id, _, tag = told.rpartition("_")
        if len(told) > _LONGEST or not response_id or not told.isascii():
            return None
        return response_id if hmac.compare_digest(tag, self._tag(response_id)) else None

    def _tag(self, response_id: str) -> str:
        message = "\x00".join((self.namespace, self.principal, response_id)).encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_TAG]
