"""The share of the cores' matrix-product peak that the digits sweep reaches."""

from __future__ import annotations

import functools
import itertools
import math

from benchmarks.cases import DIGITS, Case, written
from benchmarks.contest import PEERS, Contest, contest, ours, peer
from benchmarks.measure import Times, cores, interval, table

OURS, ONE, LOOP, PRODUCT = "harness", "harness, fused in one process", "loop, Adam(fused=True)", "matrix product"
INPUTS, CLASSES, TRAINED = 64, 10, 1_149  # of digits: pixels, classes, samples in the training split


def flops(case: Case) -> float:
    """Operations of the matrix products of one run's training: 6 a parameter and sample, so that the first layer counts
    as if the gradient of its inputs were computed; validation, test, activations and the optimizer are not counted.

    >>> flops(DIGITS) == 6 * (64 * 128 + 128 * 128 + 128 * 10) * 1149 * 20
    True
    """
    sizes = [INPUTS, *[case.width] * case.depth, CLASSES]
    parameters = sum(math.prod(pair) for pair in itertools.pairwise(sizes))
    return 6.0 * parameters * TRAINED * case.epochs


def measured(case: Case, rounds: int, size: int) -> tuple[Contest, Times]:
    """Interleaved rounds; the loop's process measures the peak too, on one thread."""
    with written(case) as work:
        rows = [
            ours(OURS, case, work),
            ours(ONE, case, work, "path=fused", "executor=in_process"),
            peer(LOOP, f"{PEERS}:loop", case.few(), work, fused=True),
        ]
        with contest(rows) as found:
            product = functools.partial(found.processes[rows[-1].process].ask, f"{PEERS}:matmul_peak", size=size)
            found.asked[PRODUCT] = product
            return found, found.measure(rounds)


def shares(case: Case, times: Times, name: str, figure: str, used: int) -> str:
    """A contestant's operations a second and core over those of the matrix product, in percent."""
    pairs = zip(times[name][figure], times[PRODUCT]["flops"], strict=True)
    return interval([100 * flops(case) / (ms / 1e3) / used / peak for ms, peak in pairs]).show(1)


def shown(case: Case, found: Contest, times: Times) -> str:
    """One row a contestant: while its cores train, and of the cores it may use from the call to the last record."""
    rows = []
    for name in found.runs.keys() & times.keys():
        figure = "share" if "share" in times[name] else "ms"  # a member's share of its process's time in the fit
        used = 1 if name in (ONE, LOOP) else cores()
        rows.append([name, shares(case, times, name, figure, 1), shares(case, times, name, "ms", used), str(used)])
    peak = interval([value / 1e9 for value in times[PRODUCT]["flops"]]).show(0)
    rounds = len(times[PRODUCT]["flops"])
    title = (
        f"Share of the peak: {case.title}, {case.epochs} epochs, {case.runs} runs, {rounds} rounds; "
        f"{flops(case) / 1e9:.2f} GFLOP a run; a float32 matrix product on one thread: {peak} GFLOP/s"
    )
    header = ["", "% while it trains", "% of the whole sweep", "cores"]
    said = [f"{name} trained: {way}" for name, way in found.ways.items() if way]
    return "\n".join([table(title, header, sorted(rows)).rstrip(), *said, *found.notes, ""])


def report(quick: bool = False) -> str:
    """The table of this benchmark."""
    case = DIGITS.toy() if quick else DIGITS
    return shown(case, *measured(case, 1 if quick else 7, 256 if quick else 2_048))
