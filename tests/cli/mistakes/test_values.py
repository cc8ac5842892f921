"""Tests of values of a wrong type or out of range, and of choices that do not fit together."""

from __future__ import annotations

import pytest
import torch

from .conftest import Refused

LARGEST = 2**63 - 1

VALUES = [
    # wrong types
    ("optimizer.lr=fast", "optimizer.lr must be a number > 0, got 'fast'"),
    ("optimizer.lr=", "optimizer.lr must be a number > 0, got ''"),
    ("optimizer.lr=true", "optimizer.lr must be a number > 0, got true"),
    ("optimizer.lr=[0.1]", "optimizer.lr must be a number > 0, got [0.1]"),
    ("optimizer.lr=null", "optimizer.lr must be a number > 0, got null"),
    ("epochs=1.5", "epochs must be a whole number >= 1, got 1.5"),
    ("epochs=many", "epochs must be a whole number >= 1, got 'many'"),
    ("epochs=null", "epochs must be a whole number >= 1, got null"),
    ("seed=", "seed must be a whole number >= 0"),
    ("seed=0.5", "got 0.5"),
    ("seed=inf", "got inf"),
    ("rerun=maybe", "rerun must be true or false, got 'maybe'"),
    ("optimizer.amsgrad=null", "optimizer.amsgrad must be true or false, got null"),
    ("save=bets", "save must be one of last, best, none, got 'bets'"),
    ("save=null", "save must be one of last, best, none, got null"),
    ("jobs=many", "jobs must be a whole number > 0 or auto, got 'many'"),
    ("study=[a]", "study must be a string, got ['a']"),
    ("split.on_overlap=explode", "split.on_overlap must be one of warn, error, ignore, got 'explode'"),
    ("optimizer.betas=0.9", "optimizer.betas must be 2 values"),
    ("optimizer.betas=[0.9]", "optimizer.betas must have 2 values, got 1 in [0.9]"),
    ("optimizer.betas=[]", "optimizer.betas must have 2 values, got 0 in []"),
    ("optimizer.betas=[0.9,fast]", "optimizer.betas must be a number, got 'fast' in [0.9, 'fast']"),
    ("optimizer.betas=[0.9,null]", "optimizer.betas must be a number, got null in [0.9, null]"),
    ("optimizer.betas=null", "optimizer.betas must be 2 values"),
    ("model=cnn model.channels=16", "model.channels must be a list, each a whole number > 0, got 16"),
    ("model=cnn model.channels=[16,x]", "model.channels must be a whole number, got 'x' in [16, 'x']"),
    ("model=cnn model.channels=[]", "model.channels must have at least 1 values, got 0 in []"),
    ("metric=[accuracy] metric.accuracy.average=median", "metric.accuracy.average must be one of micro, macro"),
    # ranges
    ("optimizer.lr=-0.1", "optimizer.lr must be > 0, got -0.1"),
    ("optimizer.lr=0", "optimizer.lr must be > 0, got 0"),
    ("optimizer.lr=nan", "optimizer.lr must be a finite number, got nan"),
    ("optimizer.lr=inf", "optimizer.lr must be a finite number, got inf"),
    ("optimizer.betas=[0.9,1.5]", "optimizer.betas must be < 1, got 1.5 in [0.9, 1.5]"),
    ("epochs=0", "epochs must be >= 1, got 0"),
    ("batch_size=0", "batch_size must be >= 1, got 0"),
    ("accumulate=0", "accumulate must be >= 1, got 0"),
    ("warmup=1", "warmup must be < 1, got 1"),
    ("warmup=nan", "warmup must be a finite number, got nan"),
    ("seed=-1", "seed must be >= 0, got -1"),
    (f"seed={LARGEST + 1}", f"seed must be <= {LARGEST}, got {LARGEST + 1}"),
    ("split.seed=-1", "split.seed must be >= 0, got -1"),
    ("jobs=0", "jobs must be > 0, got 0"),
    ("split.val=0", "split.val must be > 0, got 0"),
    ("split.test=1", "split.test must be < 1, got 1"),
    ("split.val=0.8", "split.val + split.test must leave something to train on, got 1"),
    ("split.val=0.8 split.test=0.9", "split.val + split.test must leave something to train on, got 1.7"),
    ("model=cnn model.channels=[0]", "model.channels must be > 0, got 0 in [0]"),
    ("regularizer=[dropout] regularizer.dropout.p=1.5", "regularizer.dropout.p must be < 1, got 1.5"),
    ("corruption=[label_noise] corruption.label_noise.p=2", "corruption.label_noise.p must be <= 1, got 2"),
    ("data=moons data.n=5", "data.n must be >= 10, got 5"),
    ("data=moons data.noise=-1", "data.noise must be >= 0, got -1"),
    ("cache_dir=", "cache_dir must name a folder, got ''"),
    # conditions that a component checks on its own settings
    ("model=cnn model.kernel=2", "model.kernel must be odd, got 2"),
    ("optimizer=sgd optimizer.nesterov=true", "optimizer.nesterov=true requires optimizer.momentum > 0"),
    # Lightning's
    ("trainer.max_epochs=3", "trainer.max_epochs is managed by harness; use epochs="),
    ("+trainer.max_epochs=3", "trainer.max_epochs is managed by harness; use epochs="),
    ("trainer.gradient_clip_val=1", "use 'regularizer=[gradient_clipping]'"),
    ("trainer.accumulate_grad_batches=2", "use accumulate="),
    ("trainer.precision=fast", "trainer.precision must be one of 32-true"),
    ("trainer.precision=16-mixed", "needs loss scaling, which harness does not do; use bf16-mixed"),
    ("trainer.accelerator=gpuu", "trainer.accelerator must be one of auto, cpu, gpu"),
    ("trainer.strategy=fsdp", "trainer.strategy must be one of auto, ddp, got 'fsdp'"),
    ("trainer.devices=many", "trainer.devices must be auto, a whole number >= 1"),
    ("trainer.devices=0", "trainer.devices must be auto, a whole number >= 1"),
    ("trainer.deterministic=perhaps", "trainer.deterministic must be true, false or warn, got 'perhaps'"),
    ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch must be a whole number >= 1, got 0"),
    ("trainer.check_val_every_n_epoch=9 epochs=5", "never validates within epochs=5"),
    # choices that do not fit together
    ("model=cnn data=iris", "model cnn wants samples of 3 dimensions, and data iris has samples of shape (4,)"),
    ("augmentation=[random_shift] data=iris", "augmentation random_shift wants samples of 3 dimensions"),
    ("task=regression", "task regression wants real targets, and data digits has class ones"),
    ("loss=mse", "loss mse does not fit task classification"),
    ("metric=[mae]", "metric mae does not fit task classification"),
    # more than the data has
    ("batch_size=100000", "batch_size=100000 is larger than the 1149 training samples"),
    ("data=iris split.seed=1 batch_size=97", "batch_size=97 is larger than the 96 training samples"),
    # places of results
    ("study=../x", "study must name a folder under outputs/, got '../x'"),
    ("study=a/../../x", "study must name a folder under outputs/"),
    ("study=/abs", "study must name a folder under outputs/, got '/abs'"),
    ("study=", "study must name a folder under outputs/, got ''"),
    ("study=.", "study must name a folder under outputs/, got '.'"),
    ("study=.hidden", "study must name a folder under outputs/, got '.hidden'"),
    # a sweep with one wrong job writes nothing
    ("-m seed=0,1,x", "seed must be a whole number >= 0"),
    ("-m seed=0,-1", "seed must be >= 0, got -1"),
    ("-m optimizer=sgd,adm", "no optimizer 'adm'. Did you mean 'adam'"),
    ("-m optimizer=adam,[sgd,adam]", "optimizer takes one choice, got a list"),
    ("-m optimizer=adam,sgd optimizer.betas=[0.9,0.99]", "betas is a setting of adam"),
    ("-m data=iris,csv", "data.path must be given"),
    ("-m batch_size=64,100000", "batch_size=100000 is larger than the 1149 training samples"),
    ("-m model=cnn data=digits,iris", "model cnn wants samples of 3 dimensions"),
    ("-m model=cnn model.kernel=3,2", "model.kernel must be odd, got 2"),
    ("-m optimizer=sgd optimizer.nesterov=false,true", "optimizer.nesterov=true requires optimizer.momentum > 0"),
    ("-m objective=val/loss,val/los", "objective 'val/los' is not measured. Did you mean 'val/loss'?"),
    ("-m trainer.devices=1,many", "trainer.devices must be auto"),
]


@pytest.mark.parametrize(("line", "words"), VALUES)
def test_wrong_value_is_refused_with_the_expected_one(refused: Refused, line: str, words: str) -> None:
    assert words in refused(line)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("line", ["trainer.accelerator=gpu", "trainer=gpu", "-m trainer=cpu,gpu"])
def test_missing_device_is_refused(refused: Refused, line: str) -> None:
    assert "trainer.accelerator=gpu: this machine has none" in refused(line)


def test_list_of_one_needs_no_brackets(workdir, capsys) -> None:
    """`regularizer=dropout` means `'regularizer=[dropout]'`; it cannot mean anything else."""
    import harness

    record = harness.run(["regularizer=dropout", "regularizer.dropout.p=0.2", "data=iris", "epochs=1", "logger=[]"])
    assert record.status == "completed"
    assert record.choices["regularizer"] == ["dropout"]
