"""Translate the options of other tools into what to type in harness."""

from __future__ import annotations

_LOGGER = (
    "harness keeps a record for each run and TensorBoard events (harness board), and has no {name} logger; "
    "a plugin may bring any Lightning logger: harness new NAME --kind logger"
)


_EXPORTED = "harness export STUDY --to {name} writes the runs of a study there, each once"
_OPTIONS = {  # group: {option: what to type}
    "hydra/launcher": {
        "joblib": "executor=loky jobs=N trains a sweep over processes of this machine",
        "ray": "executor=dask trains a sweep over a cluster",
        "submitit_local": "executor=loky jobs=N trains a sweep over processes of this machine",
        "submitit_slurm": "executor=submitit trains a sweep on SLURM",
    },
    "hydra/sweeper": {
        "ax": "tune.budget=N searches the settings of each contestant of a sweep",
        "optuna": "tune.budget=N tune.method=tpe searches the settings of each contestant of a sweep with Optuna",
    },
    "logger": {name: _LOGGER.format(name=name) for name in ("aim", "comet", "neptune")}
    | {name: _EXPORTED.format(name=name) for name in ("mlflow", "wandb")}
    | {"many_loggers": "'logger=[tensorboard,csv]'"},
    "trainer": {
        "ddp_sim": "trainer=cpu trainer.devices=2 trains in two processes",
        "default": "trainer=auto, the default, uses what the machine has",
        "ddp": "trainer=gpu trainer.strategy=ddp trains on several GPUs",
        "mps": "trainer.accelerator=mps",
    },
}


def option(group: str, name: str) -> str | None:
    """Return what to type instead of an option of another tool, or None if the option is unknown."""
    return _OPTIONS.get(group, {}).get(name)
