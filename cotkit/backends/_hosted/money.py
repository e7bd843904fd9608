"""Whether a provider refuses for want of money, which trying again does not mend."""

from __future__ import annotations

import re

_MONEY = re.compile(
    r"insufficient[_ ](quota|balance)|billing|credit[_ ]balance|spend(ing)? limit|usage limits",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://\S+")  # a sentence about rates ends in one to the page of payments


def is_unpaid(status: int, said: str, named: str, *, waits: bool) -> bool:
    """Whether a refusal is about money.

    ``named``: the error's code and type; ``waits``: the server said how long to wait. A 429 passes
    as a rule, so it is judged by its sentence only where it tells nothing else.
    """
    words = _LINK.sub("", said)
    if status == 402:
        return True
    if status == 429:
        return bool(_MONEY.search(named or ("" if waits else words)))
    return status == 400 and bool(_MONEY.search(f"{named} {words}"))
