"""cotkit inside other eval code: a comparison, its numbers, and scoring texts made elsewhere."""

from __future__ import annotations

import cotkit

comparison = cotkit.compare(
    "simulated/70b",  # any model: "smollm2-135m", "hf/Qwen/Qwen2.5-0.5B", or a function
    strategy=["cot", "zero-shot-cot"],
    bench="gsm-mini",
    limit=50,
)
print(cotkit.render(comparison, "table"))

for verdict in comparison.verdicts:
    gain = verdict.gain
    print(f"{gain.arm}: {gain.label}, {100 * gain.gain:+.1f} points over {gain.control}")

scored = cotkit.score(
    {"gsm-mini/001": "14 * 9 = 126. The answer is 126.", "gsm-mini/002": "I am not sure."},
    bench="gsm-mini",
)
print(f"{scored.cell.n_correct} of {scored.cell.n} right")
print({row.problem_id: row.outcome for row in scored.rows})
