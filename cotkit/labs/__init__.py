"""Networks that cotkit trains itself: experiments that anyone can repeat on a laptop."""

from __future__ import annotations
