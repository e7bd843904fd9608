"""The audit of a report: which arms leak, which were cut off, and what would have sufficed."""

from __future__ import annotations

from cotkit.analysis.results import Audit
from cotkit.report.document import Column, Number, Table, Value, Words


def audit_tables(audits: tuple[Audit, ...]) -> tuple[Table, ...]:
    """One table where there is something to see: a contaminated arm, or answers that were cut."""
    if not any(audit.is_contaminated or audit.truncated for audit in audits):
        return ()
    table = Table(
        key="audit",
        title="Audit",
        note="Reasoned: reasoning stands before the answer in the text that was read; LEAKS: in"
        " more answers than an arm without reasoning may; tokens enough: the --max-tokens that"
        " 95 % of the answers needed, at least twice a limit that was reached",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="asks_reasoning", header="asks for reasoning?"),
            Column(key="n_audited", header="answers"),
            Column(key="n_reasoned", header="reasoned"),
            Column(key="is_contaminated", header="leaks?"),
            Column(key="median_words_before", header="median words before"),
            Column(key="reasoning_tokens", header="hidden reasoning tokens", opens=True),
            Column(key="n_truncated", header="truncated"),
            Column(key="enough_tokens", header="tokens enough"),
        ),
        rows=tuple(_row(audit) for audit in audits),
    )
    return (table,)


def _row(audit: Audit) -> tuple[Value, ...]:
    leaks = audit.is_contaminated
    return (
        Words(text=audit.arm, raw=audit.arm),
        Words(text="yes" if audit.reasons else "no", raw=audit.reasons),
        Number(value=audit.n, form="count"),
        Number(value=audit.reasoned, form="count"),
        Words(text="LEAKS" if leaks else "no", raw=leaks, tone="warn" if leaks else "plain"),
        Number(value=audit.median_words_before, form="count"),
        Number(value=audit.reasoning_tokens, form="tokens"),
        Number(value=audit.truncated, form="count"),
        Number(value=audit.enough_tokens, form="tokens"),
    )
