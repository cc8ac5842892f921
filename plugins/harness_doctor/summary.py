"""Reports of findings on one run or on many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from harness import Record
from harness_doctor import evidence_files
from harness_doctor.diagnose import diagnose
from harness_doctor.engine import one_line
from harness_doctor.evidence import RunEvidence
from harness_doctor.finding import ACCUSES, SURE, Finding
from harness_doctor.rules.fit import SMALL_BATCHES
from harness_doctor.rules.gradients import DISCONNECTED, SYMMETRIC
from harness_doctor.rules.hardware import MEMORY, limit

LISTED = 5  # largest number of runs listed under a trouble
PLAIN = frozenset({SYMMETRIC, DISCONNECTED, MEMORY, SMALL_BATCHES})  # certain from the files alone
COUNTED = 100  # largest number of runs of a sweep that are examined when it ends


class ExaminedRun(NamedTuple):
    """A run with its evidence and findings."""

    record: Record
    seen: RunEvidence
    findings: list[Finding]


def examined(
    records: Iterable[Record], quick: bool, progress: Callable[[int], None] = lambda done: None
) -> list[ExaminedRun]:
    """Return the runs with their findings; `quick` reads their files alone."""
    look: Callable[[Record], RunEvidence] = evidence_files.seen
    judge: Callable[[Record, RunEvidence], list[Finding]] = _of_files
    if not quick:
        from harness_doctor.examination import Examination  # torch

        examination = Examination()
        look, judge = examination.examine, examination.findings
    runs = []
    for done, record in enumerate(records, 1):
        runs.append(_examined(record, look, judge))
        progress(done)
    return runs


def _examined(
    record: Record, look: Callable[[Record], RunEvidence], judge: Callable[[Record, RunEvidence], list[Finding]]
) -> ExaminedRun:
    try:
        seen = look(record)
        return ExaminedRun(record, seen, judge(record, seen))
    except Exception as error:  # a bad record must not stop the others
        reason = f"its files: {one_line(error)}"
        return ExaminedRun(record, RunEvidence({}, {}, record.status, record.error, {}, {}, missing=(reason,)), [])


def _of_files(record: Record, seen: RunEvidence) -> list[Finding]:
    return certain(diagnose(seen))


def certain(findings: list[Finding]) -> list[Finding]:
    """Return the findings from files alone that data and network have always confirmed."""
    return [finding for finding in findings if finding.trouble in PLAIN]


def rows(runs: list[ExaminedRun]) -> list[dict[str, Any]]:
    """Return findings as plain data with their runs, the most frequent trouble first, then by confidence."""
    counts = frequency(runs)
    keyed = [
        (counts[finding.trouble], finding.confidence, finding.row() | {"run": str(one.record.folder)})
        for one in runs
        for finding in one.findings
    ]
    return [row for _, _, row in sorted(keyed, key=lambda t: (-t[0], -t[1]))]


def frequency(runs: list[ExaminedRun]) -> Counter[str]:
    """Count the runs with each trouble above the threshold; empty for a single run."""
    stated = [f.trouble for run in runs for f in run.findings if f.confidence >= ACCUSES]
    return Counter(stated) if len(runs) > 1 else Counter()


def text(runs: list[ExaminedRun]) -> str:
    """Return the report for people."""
    if len(runs) == 1:
        return "\n".join(_of_run(runs[0]))
    well = sum(all(f.confidence < ACCUSES for f in run.findings) for run in runs)
    lines = [f"{len(runs)} runs, {well} of them without a finding"]
    for trouble, count in frequency(runs).most_common():
        lines.append(f"\n{trouble}: {count} {'run' if count == 1 else 'runs'}")
        stated = [(f, run) for run in runs for f in run.findings if f.trouble == trouble and f.confidence >= ACCUSES]
        stated.sort(key=lambda pair: -pair[0].confidence)
        for finding, one in stated[:LISTED]:
            lines.append(f"  {finding.confidence:.2f}  {one.record.name}")
            lines.append(f"        {'; '.join(map(str, finding.evidence))}")
        if len(stated) > LISTED:
            lines.append(f"        and {len(stated) - LISTED} more")
        lines += _advice(stated[0][0])
    return "\n".join(lines)


def _of_run(one: ExaminedRun) -> list[str]:
    lines = [f"{one.record.status}  {one.record.name}"]
    stated = [f for f in one.findings if f.confidence >= ACCUSES]
    if not stated:
        lines.append("  nothing is found that keeps it from learning")
    for finding in one.findings:
        if finding.confidence < ACCUSES and stated:
            continue  # hints are shown only if there is nothing better
        lines.append(f"  {finding.confidence:.2f}  {finding.trouble}")
        lines += [f"        {evidence}" for evidence in finding.evidence]
        lines += _advice(finding)
    lines += [f"  {limit(one.seen)}"] if limit(one.seen) else []
    lines += [f"  not looked at: {reason}" for reason in one.seen.missing]
    return lines


def _advice(finding: Finding) -> list[str]:
    tries = [f"  try   {' '.join(finding.tries)}"] if finding.tries else []
    outcome = [f"        tried: {line}" for line in finding.outcome.splitlines()]
    return [f"  cause {finding.cause}", *tries, *outcome]


def at_end(records: list[Record]) -> list[str]:
    """Return what the files of runs show for certain: the findings on one run, or their counts over several."""
    if len(records) == 1:
        return certain_lines(records[0])
    return [line] if (line := counts_line(records)) else []


def certain_lines(record: Record) -> list[str]:
    """Return a line for each finding of high confidence, from a run's files alone, in milliseconds."""
    return [
        "; ".join(
            [f.trouble + f": {f.evidence[0]}" * bool(f.evidence), f"try {' '.join(f.tries)}" if f.tries else f.cause]
        )
        for f in certain(diagnose(evidence_files.seen(record)))
        if f.confidence >= SURE
    ]


def counts_line(records: list[Record]) -> str:
    """Return the number of runs with each trouble, from their files alone; "" if there is none."""
    examined = records[:COUNTED]
    findings = [finding for record in examined for finding in certain(diagnose(evidence_files.seen(record)))]
    troubles = Counter(finding.trouble for finding in findings if finding.confidence >= SURE)
    if not troubles:
        return ""
    listed = ", ".join(f"{trouble} in {runs}" for trouble, runs in troubles.most_common(3))
    return f"{listed} of {len(examined)} runs"
