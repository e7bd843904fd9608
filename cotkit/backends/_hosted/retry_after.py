"""How long a server asks to be left alone."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds: ``retry-after-ms``, or ``retry-after`` as seconds or date; None: it does not say."""
    try:
        if (millis := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(millis) / 1000)
        text = headers.get("retry-after", "")
        if (date := email.utils.parsedate_tz(text)) is not None:
            return max(0.0, email.utils.mktime_tz(date) - time.time())
        return max(0.0, float(text))
    except ValueError:
        return None  # a header that says nothing readable asks for nothing
