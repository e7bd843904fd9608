"""Write the price table of services by name from the public collection genai-prices.

    python -m tests.make_prices        # or: make prices

It needs ``genai-prices`` (and no network: the collection comes with the package). OpenAI's and
Anthropic's rows are kept by hand in ``prices.toml``, whose sources were checked; OpenRouter's, of
which there are hundreds that change by the day, are asked at run time, where the package is there.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from decimal import Decimal
from pathlib import Path
from typing import Any

from cotkit.backends._openai.services import load_services

TABLE = Path(__file__).parent.parent / "cotkit" / "models" / "prices-services.toml"
NOT_HERE = {"openrouter", "azure"}
HEAD = """# List prices of services by name, in US dollars per million tokens: made by `make prices`
# from the public collection genai-prices {version}. Do not edit: your own files are asked first.
# Of prices in tiers it has the first tier. A model that no row names has no price.

as_of = "{date}"
"""


def main() -> None:
    """Write the table."""
    from genai_prices.data_snapshot import get_snapshot  # pyright: ignore[reportMissingImports] - dev

    snapshot: Any = get_snapshot()
    now = dt.datetime.now(dt.UTC)
    rows: dict[tuple[str, ...], list[str]] = {}
    urls: list[str] = []
    for name, service in sorted(load_services().items()):
        if name in NOT_HERE or service.is_local or service.base_url is None:
            continue
        try:
            provider = snapshot.find_provider(None, None, service.base_url)
        except LookupError:
            continue
        urls.append(service.base_url)
        for model in provider.models:
            prices = model.get_prices(now)
            fields = [
                base(getattr(prices, f"{key}_mtok", None))
                for key in ("input", "cache_read", "cache_write", "output")
            ]
            if fields[0] is None or fields[3] is None or model.deprecated:
                continue
            keys = ("input", "cached_input", "cache_write", "output")
            lines = [
                f"{k} = {float(v):g}" for k, v in zip(keys, fields, strict=True) if v is not None
            ]
            rows.setdefault((name, *lines), []).append(f"{name}/{model.id}")
    version = importlib.metadata.version("genai-prices")
    text = HEAD.format(version=version, date=now.date().isoformat())
    text += "urls = [\n" + "".join(f'  "{url}",\n' for url in sorted(set(urls))) + "]\n\n"
    text += '[provider.openai-api]\nsource = "https://github.com/pydantic/genai-prices"\n'
    text += 'status = "single"\n'
    for (_, *lines), models in rows.items():
        names = ", ".join(f'"{model}"' for model in sorted(set(models)))
        text += "\n".join(
            ["", "[[price]]", 'backend = "openai-api"', f"models = [{names}]", *lines, ""]
        )
    TABLE.write_text(text, encoding="utf-8")


def base(price: Any) -> Decimal | None:  # noqa: ANN401 - of a package without types
    """The price of the first tokens, where it is in tiers."""
    return getattr(price, "base", price)


if __name__ == "__main__":
    main()
