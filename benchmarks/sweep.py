"""Sweeps by harness, stock Hydra with Lightning, a loop by hand and JAX, on the same tensors."""

from __future__ import annotations

import functools
import itertools
import math
import statistics

from benchmarks import stock
from benchmarks.cases import CNN, DIGITS, IMAGES, SMALL, Case, Work, written
from benchmarks.contest import PEERS, Contest, Contestant, contest, ours, peer
from benchmarks.measure import Times, cores, interval, ratio, table
from benchmarks.warm import ONE_THREAD, LeftOut

OURS, STOCK, JOBLIB = "harness", "stock Hydra + Lightning", "stock, joblib launcher"
LOOP, FUSED, JAX = "loop, Adam", "loop, Adam(fused=True)", "JAX, vmap and scan"
LOKY = "harness, alone on loky"
PRODUCT = "matrix product"  # the fastest on one core
SHORT = {STOCK: "stock", LOOP: "loop", JAX: "JAX", LOKY: "loky"}  # what the others are compared with
ALL = (OURS, STOCK, LOOP, FUSED, JAX)
INPUTS, CLASSES, TRAINED = 64, 10, 1_149  # of digits: pixels, classes, samples in the training split


def contestants(names: tuple[str, ...], case: Case, work: Work, sizes: tuple[int, ...]) -> list[Contestant]:
    """Those of the named that run in a warm process; where ours is compared with its own workers, it chooses freely."""
    loop = functools.partial(peer, call=f"{PEERS}:loop", case=case.few(), work=work)
    jax = functools.partial(peer, call="benchmarks.jax_peer:sweep", case=case, work=work, env={"JAX_PLATFORMS": "cpu"})
    everyone = [
        # what starting workers takes is in no figure here, so they are not for the trial to weigh
        ours(OURS, case, work, *([] if LOKY in names else ["executor=loky"])),
        ours(LOKY, case, work, "path=alone", "executor=loky"),
        loop(LOOP),
        loop(FUSED, fused=True),
        *(jax(_jax(chunk), chunk=chunk) for chunk in chunks(case)),
        Contestant(PRODUCT, PRODUCT, f"{PEERS}:product", {"sizes": sizes}, {"sizes": [64]}, 0, ONE_THREAD),
    ]
    return [one for one in everyone if one.name in names or (JAX in names and one.name.startswith(JAX))]


def chunks(case: Case) -> list[int]:
    """The numbers of runs that JAX tries to train as one; the fastest is taken."""
    share = -(-case.runs // cores())
    return sorted({share, 1} if case.model == "cnn" else {max(1, share // part) for part in (1, 2, 4, 8)})


def _jax(chunk: int) -> str:
    return f"{JAX}, {chunk} as one"


def choose_jax(found: Contest) -> None:
    """Keep the fastest of the JAX contestants, which differ in the number of runs trained as one."""
    tried = {name: found.asked[name]()["wall"] for name in list(found.asked) if name.startswith(JAX)}
    if not tried:
        return
    best = min(tried, key=tried.__getitem__)
    for name in tried.keys() - {best}:
        found.remove(name)
    found.rename(best, JAX)
    others = ", ".join(f"{name.removeprefix(JAX + ', ')}: {wall:.1f} ms" for name, wall in tried.items())
    found.notes.append(f"JAX: a pinned process for each core; {others}; taken: {best.removeprefix(JAX + ', ')}")


def measured(
    names: tuple[str, ...], case: Case, rounds: int, warm_up: bool = True, sizes: tuple[int, ...] = (512, 1024, 2048)
) -> tuple[Contest, Times]:
    """Interleaved rounds."""
    with written(case) as work, contest(contestants(names, case, work, sizes)) as found:
        choose_jax(found)
        for name, joblib in ((STOCK, False), (JOBLIB, True)):
            if name in names:
                try:
                    runs = stock.check(case, joblib)
                except LeftOut as why:
                    found.leave_out(name, why)
                else:
                    found.runs[name] = runs
                    found.asked[name] = functools.partial(stock.run, case, work, found.folder, joblib)
        times = found.measure(rounds, warm_up)
        if PRODUCT in times:
            for figure, source in (("peak_wall", "share"), ("peak_cpu", "cpu")):
                pairs = zip(times[OURS][source], times[PRODUCT]["flops"], strict=True)
                times[OURS][figure] = [100 * flops(case) / (ms / 1e3) / speed for ms, speed in pairs]
        return found, times


def flops(case: Case) -> float:
    """Operations of the matrix products of one run's training: 6 a parameter and sample, so that the first layer counts
    as if the gradient of its inputs were computed; validation, test, activations and the optimizer are not counted.

    >>> flops(DIGITS) == 6 * (64 * 128 + 128 * 128 + 128 * 10) * 1149 * 20
    True
    """
    sizes = [INPUTS, *[case.width] * case.depth, CLASSES]
    parameters = sum(math.prod(pair) for pair in itertools.pairwise(sizes))
    return 6.0 * parameters * TRAINED * case.epochs


def shown(case: Case, found: Contest, times: Times) -> str:
    """One row a contestant: milliseconds a run, how many times as long stock, the loop and ours take, and the score."""
    bases = {name: short for name, short in SHORT.items() if name in times}
    rows = []
    for name in sorted(found.runs.keys() & times.keys() - {PRODUCT}, key=lambda n: statistics.median(times[n]["wall"])):
        figures = times[name]
        start = statistics.median(figures.get("start", [found.start.get(name, 0.0)]))
        compiling = statistics.median(figures.get("compiling", [0.0]))
        wall = interval(figures["wall"])
        rows.append(
            [
                name,
                str(found.runs[name]),
                wall.show(1),
                interval(figures["cpu"]).show(1),
                *(ratio(times, "wall", base, name).show() for base in bases),
                f"{start:.1f}",
                f"{compiling:.1f}" if compiling else "",
                f"{start + compiling + wall.median * case.runs / 1e3:.1f}",
                f"{statistics.mean(figures['accuracy']):.3f}",
            ]
        )
    runs = f"{case.runs} runs = {case.seeds} seeds x {len(case.lrs)} learning rates"
    title = f"Sweep: {case.title}, {case.epochs} epochs, {runs}; {len(times[OURS]['wall'])} rounds, {cores()} cores"
    header = [
        "",
        "runs timed",
        "ms/run, warm",
        "CPU ms/run",
        *(f"{short} / it" for short in bases.values()),
        "start s",
        "compile s",
        f"{case.runs} runs s",
        "accuracy",
    ]
    notes = [f"{name} trained: {way}" for name, way in found.ways.items() if name != PRODUCT]
    if PRODUCT in times:
        speed = interval([value / 1e9 for value in times[PRODUCT]["flops"]]).show(0)
        notes += [
            f"fastest float32 product on one core: {speed} GFLOP/s ({found.ways[PRODUCT]})",
            f"share of it ({flops(case) / 1e9:.2f} GFLOP a run): {interval(times[OURS]['peak_wall']).show(1)} % of the "
            f"time in training, {interval(times[OURS]['peak_cpu']).show(1)} % of all CPU time",
        ]
    return "\n".join([table(title, header, rows).rstrip(), *notes, *found.notes, ""])


def check_agreement(times: Times, close: float) -> None:
    """Raises AssertionError where the contestants do not learn equally well."""
    scores = {name: statistics.mean(each["accuracy"]) for name, each in times.items() if "accuracy" in each}
    low, high = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    if scores[high] - scores[low] > close:
        raise AssertionError(f"unequal accuracies: {low} {scores[low]:.3f}, {high} {scores[high]:.3f}")


def report(case: Case, names: tuple[str, ...], rounds: int, quick: bool) -> tuple[str, Times]:
    """The table of a case, and its figures."""
    if quick:
        if case is not DIGITS:  # once is enough to show that they work: their processes are slow to start
            names = tuple(name for name in names if name not in (STOCK, JOBLIB))
        case = case.toy()
        found, times = measured(names, case, 1, warm_up=False, sizes=(64,))
    else:
        found, times = measured(names, case, rounds)
        check_agreement(times, case.close)
    return shown(case, found, times), times


def digits(rounds: int, quick: bool) -> tuple[str, Times]:
    """64 perceptrons on digits."""
    return report(DIGITS, (*ALL, JOBLIB, PRODUCT), rounds, quick)


def small(rounds: int, quick: bool) -> tuple[str, Times]:
    """256 very small perceptrons."""
    return report(SMALL, ALL, rounds, quick)


def cnn(rounds: int, quick: bool) -> tuple[str, Times]:
    """16 small convolutional networks on digits."""
    return report(CNN, ALL, rounds, quick)


def images(rounds: int, quick: bool) -> tuple[str, Times]:
    """16 convolutional networks on larger images: what the harness chooses against worker processes."""
    return report(IMAGES, (OURS, LOKY), rounds, quick)
