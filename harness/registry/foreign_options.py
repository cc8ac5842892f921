"""Translate the options of other tools into what to type in harness."""

from __future__ import annotations

_LOGGER = (
    "harness keeps a record for each run and TensorBoard events (harness board), and has no {name} logger; "
    "a plugin may bring any Lightning logger: harness new NAME --kind logger"
)


_OPTIONS = {  # group: {option: what to type}
    "hydra/launcher": {
        "joblib": "executor=loky jobs=N trains a sweep over processes of this machine",
        "ray": "executor=dask trains a sweep over a cluster",
        "submitit_local": "executor=loky jobs=N trains a sweep over processes of this machine",
        "submitit_slurm": "executor=submitit trains a sweep on SLURM",
    },
    "logger": {name: _LOGGER.format(name=name) for name in ("aim", "comet", "mlflow", "neptune", "wandb")},
    "trainer": {
        "ddp": "trainer=gpu trainer.strategy=ddp trains on several GPUs",
        "mps": "trainer.accelerator=mps",
    },
}


def option(group: str, name: str) -> str | None:
    """Return what to type instead of an option of another tool, or None if the option is unknown."""
    return _OPTIONS.get(group, {}).get(name)
