"""The findings of one run or of many, told."""

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

LISTED = 5  # runs of a study that are named under a trouble
PLAIN = frozenset({SYMMETRIC, DISCONNECTED, MEMORY, SMALL_BATCHES})  # are told by the files as surely
COUNTED = 100  # runs of a sweep that are looked at when it ends


class ExaminedRun(NamedTuple):
    """A run, what is seen of it, and what is found."""

    record: Record
    seen: RunEvidence
    findings: list[Finding]


def examined(
    records: Iterable[Record], quick: bool, told: Callable[[int], None] = lambda done: None
) -> list[ExaminedRun]:
    """Runs with their findings; `quick`: from their files alone."""
    look: Callable[[Record], RunEvidence] = evidence_files.seen
    judge: Callable[[Record, RunEvidence], list[Finding]] = _of_files
    if not quick:
        from harness_doctor.examination import Examination  # torch

        examination = Examination()
        look, judge = examination.examine, examination.findings
    found = []
    for done, record in enumerate(records, 1):
        found.append(_examined(record, look, judge))
        told(done)
    return found


def _examined(
    record: Record, look: Callable[[Record], RunEvidence], judge: Callable[[Record, RunEvidence], list[Finding]]
) -> ExaminedRun:
    try:
        seen = look(record)
        return ExaminedRun(record, seen, judge(record, seen))
    except Exception as error:  # a record that anyone may have written costs itself alone
        reason = f"its files: {one_line(error)}"
        return ExaminedRun(record, RunEvidence({}, {}, record.status, record.error, {}, {}, missing=(reason,)), [])


def _of_files(record: Record, seen: RunEvidence) -> list[Finding]:
    return certain(diagnose(seen))


def certain(findings: list[Finding]) -> list[Finding]:
    """Of what a run's files alone tell, that which a look at its data and its network has always confirmed."""
    return [finding for finding in findings if finding.trouble in PLAIN]


def rows(found: list[ExaminedRun]) -> list[dict[str, Any]]:
    """Findings as plain data, each with its run: the most frequent trouble first, then the surest."""
    often = frequency(found)
    told = [
        (often[finding.trouble], finding.confidence, finding.row() | {"run": str(one.record.folder)})
        for one in found
        for finding in one.findings
    ]
    return [row for _, _, row in sorted(told, key=lambda t: (-t[0], -t[1]))]


def frequency(found: list[ExaminedRun]) -> Counter[str]:
    """How many runs each trouble is found in, as an accusation; a run alone has none more frequent than others."""
    accused = [f.trouble for e in found for f in e.findings if f.confidence >= ACCUSES]
    return Counter(accused) if len(found) > 1 else Counter()


def text(found: list[ExaminedRun]) -> str:
    """What a person reads."""
    if len(found) == 1:
        return "\n".join(_of_run(found[0]))
    often = frequency(found)
    well = sum(all(f.confidence < ACCUSES for f in e.findings) for e in found)
    lines = [f"{len(found)} runs, {well} of them without a finding"]
    for trouble, runs in often.most_common():
        lines.append(f"\n{trouble}: {runs} {'run' if runs == 1 else 'runs'}")
        accused = [(f, e) for e in found for f in e.findings if f.trouble == trouble and f.confidence >= ACCUSES]
        accused.sort(key=lambda pair: -pair[0].confidence)
        for finding, one in accused[:LISTED]:
            lines.append(f"  {finding.confidence:.2f}  {one.record.name}")
            lines.append(f"        {'; '.join(map(str, finding.evidence))}")
        if len(accused) > LISTED:
            lines.append(f"        and {len(accused) - LISTED} more")
        lines += _mend(accused[0][0])
    return "\n".join(lines)


def _of_run(one: ExaminedRun) -> list[str]:
    lines = [f"{one.record.status}  {one.record.name}"]
    accused = [f for f in one.findings if f.confidence >= ACCUSES]
    if not accused:
        lines.append("  nothing is found that keeps it from learning")
    for finding in one.findings:
        if finding.confidence < ACCUSES and accused:
            continue  # hints are for runs of which nothing better is known
        lines.append(f"  {finding.confidence:.2f}  {finding.trouble}")
        lines += [f"        {evidence}" for evidence in finding.evidence]
        lines += _mend(finding)
    lines += [f"  {limit(one.seen)}"] if limit(one.seen) else []
    lines += [f"  not looked at: {reason}" for reason in one.seen.missing]
    return lines


def _mend(finding: Finding) -> list[str]:
    tries = [f"  try   {' '.join(finding.tries)}"] if finding.tries else []
    outcome = [f"        tried: {finding.outcome}"] if finding.outcome else []
    return [f"  cause {finding.cause}", *tries, *outcome]


def at_end(records: list[Record]) -> list[str]:
    """Return what the files of runs alone show for certain: what is found of one run, or in how many of several."""
    if len(records) == 1:
        return certain_lines(records[0])
    return [line] if (line := counted(records)) else []


def certain_lines(record: Record) -> list[str]:
    """One line for each finding of high confidence, from a run's files alone, in milliseconds."""
    return [
        f"{f.trouble}: {f.evidence[0] if f.evidence else f.cause}" + (f"; try {' '.join(f.tries)}" if f.tries else "")
        for f in certain(diagnose(evidence_files.seen(record)))
        if f.confidence >= SURE
    ]


def counted(records: list[Record]) -> str:
    """In how many of some runs something is found, from their files alone; "" where in none."""
    looked = records[:COUNTED]
    findings = [finding for record in looked for finding in certain(diagnose(evidence_files.seen(record)))]
    troubles = Counter(finding.trouble for finding in findings if finding.confidence >= SURE)
    if not troubles:
        return ""
    told = ", ".join(f"{trouble} in {runs}" for trouble, runs in troubles.most_common(3))
    return f"{told} of {len(looked)} runs"
