"""Sweeps: ours against stock Hydra with Lightning, a loop by hand, scikit-learn and JAX, on the same tensors."""

from __future__ import annotations

import functools
import statistics

from benchmarks import stock
from benchmarks.cases import CNN, DIGITS, IMAGES, SMALL, Case, Work, written
from benchmarks.contest import PEERS, Contest, Contestant, contest, ours, peer
from benchmarks.measure import Times, cores, interval, ratio, table
from benchmarks.warm import ONE_THREAD, LeftOut

OURS, STOCK, JOBLIB = "harness", "stock Hydra + Lightning", "stock, joblib launcher"
LOOP, FUSED, SKLEARN, JAX = "loop, Adam", "loop, Adam(fused=True)", "scikit-learn", "JAX, vmap and scan"
LOKY = "harness, alone on loky"
SHORT = {STOCK: "stock", LOOP: "loop", LOKY: "loky"}  # what the others are compared with
ALL = (OURS, STOCK, JOBLIB, LOOP, FUSED, SKLEARN, JAX)
NO_SKLEARN = tuple(name for name in ALL if name != SKLEARN)  # it has no convolutions
CHUNKS = {"mlp": (64, 32, 16, 8), "cnn": (16, 4, 1)}  # members that JAX trains as one; the best is taken
CLOSE = 0.02  # mean test accuracies of the contestants differ by no more


def contestants(names: tuple[str, ...], case: Case, work: Work) -> list[Contestant]:
    """Those of the named that run in a warm process; where ours is compared with its own workers, it chooses freely."""
    some = case.few()
    loop = functools.partial(peer, call=f"{PEERS}:loop", case=some, work=work)
    jax = functools.partial(peer, call="benchmarks.jax_peer:sweep", case=case, work=work, env={"JAX_PLATFORMS": "cpu"})
    sizes = [chunk for chunk in CHUNKS[case.model] if chunk <= case.runs] or [case.runs]
    everyone = [
        # what starting workers takes is in no figure here, so they are not for the trial to weigh
        ours(OURS, case, work, *([] if LOKY in names else ["executor=loky"])),
        ours(LOKY, case, work, "path=alone", "executor=loky"),
        loop(LOOP),
        loop(FUSED, fused=True),
        peer(SKLEARN, f"{PEERS}:sklearn", some, work, env=ONE_THREAD),
        *(jax(_jax(chunk), chunk=chunk) for chunk in sizes),
    ]
    return [one for one in everyone if one.name in names or (JAX in names and one.name.startswith(JAX))]


def _jax(chunk: int) -> str:
    return f"{JAX}, {chunk} as one"


def choose_jax(found: Contest) -> None:
    """Keeps the best of the ways in which JAX may stack its members, and says what compiling took."""
    tried = {name: found.asked[name]() for name in found.asked if name.startswith(JAX)}
    if not tried:
        return
    best = min(tried, key=lambda name: tried[name]["ms"])
    for name in tried:
        if name != best:
            del found.asked[name], found.start[name]
    others = ", ".join(f"{name.removeprefix(JAX + ', ')}: {tried[name]['ms']:.1f} ms" for name in tried)
    found.notes.append(f"JAX: {others}; compiling took {tried[best]['compiling']:.1f} s, which is in no figure here")


def measured(names: tuple[str, ...], case: Case, rounds: int, warm_up: bool = True) -> tuple[Contest, Times]:
    """Interleaved rounds."""
    with written(case) as work, contest(contestants(names, case, work)) as found:
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
        return found, found.measure(rounds, warm_up)


def shown(case: Case, found: Contest, times: Times) -> str:
    """One row a contestant: milliseconds a run, how many times as long stock, the loop and ours take, and the score."""
    bases = {name: short for name, short in SHORT.items() if name in times}
    rows = []
    for name, figures in sorted(times.items(), key=lambda row: statistics.median(row[1]["ms"])):
        start = statistics.median(figures.get("start", [found.start.get(name, 0.0)]))
        ms = interval(figures["ms"])
        rows.append(
            [
                name,
                str(found.runs[name]),
                ms.show(1),
                *(ratio(times, "ms", base, name).show() for base in bases),
                f"{start:.1f}",
                f"{start + ms.median * case.runs / 1e3:.1f}",
                f"{statistics.mean(figures['accuracy']):.3f}",
            ]
        )
    rounds = len(times[OURS]["ms"])
    runs = f"{case.runs} runs = {case.seeds} seeds x {len(case.lrs)} learning rates"
    title = f"Sweep: {case.title}, {case.epochs} epochs, {runs}; {rounds} rounds, {cores()} cores"
    header = [
        "",
        "runs timed",
        "ms/run, warm",
        *(f"{short} / it" for short in bases.values()),
        "start s",
        f"{case.runs} runs s",
        "accuracy",
    ]
    said = [f"{name} trained: {way}" for name, way in found.ways.items() if way]
    return "\n".join([table(title, header, rows).rstrip(), *said, *found.notes, ""])


def agreement(times: Times) -> str:
    """A warning where the contestants do not learn equally well; else nothing."""
    scores = {name: statistics.mean(figures["accuracy"]) for name, figures in times.items()}
    low, high = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    if scores[high] - scores[low] <= CLOSE:
        return ""
    return f"WARNING: unequal accuracies: {low} {scores[low]:.3f}, {high} {scores[high]:.3f}\n"


def report(quick: bool, case: Case, names: tuple[str, ...], rounds: int) -> str:
    """The table of a case, and a warning where the contestants do not learn equally well."""
    if quick:
        if case is not DIGITS:  # once is enough to show that they work: their processes are slow to start
            names = tuple(name for name in names if name not in (STOCK, JOBLIB))
        found, times = measured(names, case.toy(), 1, warm_up=False)
        return shown(case.toy(), found, times)
    found, times = measured(names, case, rounds)
    return shown(case, found, times) + agreement(times)


def digits(quick: bool = False) -> str:
    """64 perceptrons on digits."""
    return report(quick, DIGITS, ALL, 7)


def small(quick: bool = False) -> str:
    """256 very small perceptrons."""
    return report(quick, SMALL, ALL, 5)


def cnn(quick: bool = False) -> str:
    """16 small convolutional networks on digits."""
    return report(quick, CNN, NO_SKLEARN, 7)


def images(quick: bool = False) -> str:
    """16 convolutional networks on larger images: what the harness chooses against worker processes."""
    return report(quick, IMAGES, (OURS, LOKY), 15)  # many: the interval is what counts
