"""Words that do not exist: the nearest right one is told."""

from __future__ import annotations

import pytest

from .conftest import Refused

UNKNOWN = [
    # verbs and what stands behind them
    ("lisst", "no command 'lisst'. Did you mean 'list'?"),
    ("reprot scratch", "no command 'reprot'. Did you mean 'report'?"),
    ("list optimizr", "no kind 'optimizr'. Did you mean 'optimizer'?"),
    ("list optimizer adam", "harness list: unrecognized arguments: adam"),
    ("list --jsno", "--jsno. Did you mean '--json'?"),
    ("show", "required: KIND/NAME"),
    ("show adam", "wants KIND/NAME"),
    ("show optimizer/adm", "no optimizer 'adm'. Did you mean 'adam'"),
    ("show optimizr/adam", "no kind 'optimizr'. Did you mean 'optimizer'?"),
    ("plugins --jso", "--jso. Did you mean '--json'?"),
    ("plugins all", "harness plugins: unrecognized arguments: all"),
    ("report", "required: study"),
    ("report nothing", "no study 'nothing'"),
    ("report a b", "harness report: unrecognized arguments: b"),
    ("board nothing", "no study 'nothing'"),
    # flags
    ("--mulitrun seed=0", "unrecognized arguments: --mulitrun. Did you mean '--multirun'"),
    ("-m --config-dri x", "--config-dri. Did you mean '--config-dir'"),
    ("--config-name other", "harness has one config"),
    ("--config-dir", "--config-dir/-cd: expected one argument"),
    ("--cfg jbo", "invalid choice: 'jbo'"),
    ("--cfg job --package optimzer", "no 'optimzer'. Did you mean 'optimizer'?"),
    ("--resolve", "--resolve goes with --cfg job"),
    ("--run --multirun seed=0", "--run and --multirun do not go together"),
    ("--shell-completion", "install=bash"),
    # groups, options, keys
    ("optimizr=adam", "unknown key 'optimizr'. Did you mean 'optimizer'?"),
    ("sed=1", "unknown key 'sed'. Did you mean 'seed'?"),
    ("+sed=1", "unknown key 'sed'. Did you mean 'seed'?"),
    ("optimizer=adm", "no optimizer 'adm'. Did you mean 'adam'"),
    ("optimizer=", "no optimizer ''. Known: "),
    ("activation=rely", "no activation 'rely'. Did you mean 'relu'"),
    ("task=regresion", "no task 'regresion'. Did you mean 'regression'?"),
    ("trainer=gpuu", "no trainer 'gpuu'. Did you mean 'gpu'?"),
    ("experiment=nope", "no experiment 'nope'"),
    ("-m hydra/sweeper=harnes", "no hydra/sweeper 'harnes'. Did you mean 'harness'?"),
    ("hydra.sweeeper.x=1", "hydra.sweeeper.x=1 has no effect in harness: its keys of Hydra are hydra/sweeper=, hydra/"),
    ("--cfg job optimizer=adm", "no optimizer 'adm'. Did you mean 'adam'"),
    ("--help optimizer=adm", "no optimizer 'adm'. Did you mean 'adam'"),
    # words of other tools, and shorthand
    ("lr=0.1", "unknown key 'lr'. Did you mean optimizer.lr?"),
    ("model.optimizer.lr=0.1", "unknown key 'model.optimizer.lr'. Did you mean optimizer.lr?"),
    ("training.batch_size=8", "Did you mean batch_size?"),
    ("max_epochs=3", "unknown key 'max_epochs'. Did you mean epochs?"),
    ("width=3", "Did you mean model.width?"),
    ("dropout=0.1", "Did you mean 'regularizer=[dropout]'?"),
    ("weight_decay=0.1", "Did you mean optimizer.weight_decay or"),
    ("adam.lr=0.1", "Did you mean optimizer=adam with optimizer.lr?"),
    ("optimizer.learning_rate=0.1", "Did you mean 'lr'?"),
    ("precision=16", "Did you mean trainer.precision?"),
    ("ckpt_path=a.ckpt", "unknown key 'ckpt_path'. Instead: resume=true"),
    ("callbacks=default", "unknown key 'callbacks'. Instead: harness has no callbacks: 'regularizer=[early_stopping]'"),
    ("callbacks.early_stopping.patience=3", "Instead: harness has no callbacks"),
    ("limit_train_batches=0.1", "Instead: 'corruption=[fraction]'"),
    ("logger=wandb", "no logger 'wandb'. Instead: harness keeps a record"),
    ("logger=[tensorboard,mlflow]", "no logger 'mlflow'. Instead: "),
    ("-m hydra/launcher=submitit_slurm seed=0,1", "Instead: executor=submitit"),
    ("trainer=ddp", "Instead: trainer=gpu trainer.strategy=ddp"),
    ("scheduler=null", "scheduler must be a name, got null; the default is scheduler=constant"),
    ("~logger", "~logger: a kind cannot be taken out; 'logger=[]' chooses none"),
    ("~scheduler", "~scheduler: a kind cannot be taken out; write scheduler=constant"),
    ("adam", "Choose it with optimizer=adam."),
    ("optimizer", "Choose one with optimizer=NAME; harness list optimizer shows them."),
    ("-sc install=tcsh", "--shell-completion takes one of install=bash, "),
    # members of lists
    ("regularizer=[l2,dropot]", "no regularizer 'dropot'. Did you mean 'dropout'?"),
    ("regularizer=dropot", "no regularizer 'dropot'. Did you mean 'dropout'?"),
    ("metric=[accurcy]", "no metric 'accurcy'. Did you mean 'accuracy'"),
    ("transform=[standardise]", "no transform 'standardise'. Did you mean 'standardize'?"),
    ("logger=[tensorbord]", "no logger 'tensorbord'. Did you mean 'tensorboard'?"),
    # settings of components and of the trainer
    ("optimizer.lrr=1", "unknown key 'optimizer.lrr'. Did you mean 'lr'?"),
    ("+optimizer.lrr=1", "unknown key 'optimizer.lrr'. Did you mean 'lr'?"),
    ("++optimizer.lrr=1", "unknown key 'optimizer.lrr'. Did you mean 'lr'?"),
    ("optimizer=sgd optimizer.betas=[0.9,0.99]", "'optimizer.betas': sgd has lr, momentum"),
    ("optimizer=sgd optimizer.betas=[0.9,0.99]", "betas is a setting of adam"),
    ("data.n=500", "'data.n': digits has no settings; n is a setting of "),
    ("model.depth=3", "model=auto has no settings; choose a model first"),
    ("+model.depth=3", "model=auto has no settings; choose a model first"),
    ("split.vall=0.1", "unknown key 'split.vall'. Did you mean 'val'?"),
    ("optimizer.lr.start=1", "optimizer.lr is a number > 0: it has no keys of its own"),
    ("regularizer.dropout.p=.3", "'dropout' is not chosen; choose it with 'regularizer=[dropout]'"),
    ("regularizer.dropot.p=.3", "no regularizer 'dropot'. Did you mean 'dropout'?"),
    ("regularizer=dropout regularizer.dropout.rate=.3", "unknown key 'regularizer.dropout.rate': dropout has p"),
    ("trainer.acelerator=cpu", "unknown key 'trainer.acelerator'. Did you mean 'accelerator'?"),
    ("+trainer.acelerator=cpu", "unknown key 'trainer.acelerator'. Did you mean 'accelerator'?"),
    # metrics
    ("objective=val/accurcy", "objective 'val/accurcy' is not measured. Did you mean 'val/accuracy'?"),
    ("objective=test/accuracy", "The test split decides nothing"),
    (
        "regularizer=[early_stopping] regularizer.early_stopping.watch=val/accurcy",
        "early_stopping watches 'val/accurcy', which is not measured. Did you mean 'val/accuracy'?",
    ),
    # interpolation
    ("split.seed=${sed}", "split.seed: there is no key 'sed' to take the value from. Did you mean 'seed'?"),
    ("seed=${oc.env:HARNESS_NO_SUCH}", "seed: the environment variable HARNESS_NO_SUCH is not set"),
    ("seed=${random:}", "seed: ${random:...} is no way to take a value"),
    ("study=${study}", "study: it takes its value from itself"),
]


@pytest.mark.parametrize(("line", "words"), UNKNOWN)
def test_the_nearest_right_word_is_told(refused: Refused, line: str, words: str) -> None:
    assert words in refused([w for w in line.split(" ") if w])


MALFORMED = [
    (["seed=0", "foo"], "'foo' is no override: an override is KEY=VALUE"),
    (["seed=0", "optimizer"], "for example optimizer=NAME"),
    (["foo"], "An override is KEY=VALUE"),
    (["="], "cannot read '=': there is no key before the ="),
    (["=3"], "cannot read '=3': there is no key before the ="),
    ([""], "'' is no override"),
    (["seed=0", ""], "'' is no override"),
    (["seed = 1"], "no space stands before the ="),
    (["seed=[0"], "cannot read 'seed=[0': [ and ] do not match"),
    (["study=${seed"], "{ and } do not match"),
    (["seed='0"], "a quotation mark ' is not closed"),
    (["optimizer.lr=a#b"], "put a value with special characters in quotes"),
    (["-m", "seed=0,,1"], "cannot read 'seed=0,,1': a value is missing beside a comma"),
    (["optimizer.lr=0.1", "optimizer.lr=0.2"], "optimizer.lr is given twice: optimizer.lr=0.1 and optimizer.lr=0.2"),
    (["seed=0", "++seed=1"], "seed is given twice: seed=0 and ++seed=1"),
    (["-m", "seed=0", "seed=1,2"], "seed is given twice"),
    (["+seed=0"], "seed is there already: write seed=... without +"),
    (["+optimizer=sgd"], "optimizer has its choice already: write optimizer=sgd, without +"),
    (["~foo"], "~foo: there is no foo to take out"),
    (["~optimizer"], "~optimizer: a kind cannot be taken out; write optimizer=adam"),
    (["~seed=3"], "~seed=3: seed is 0"),
    (["optimizer=[sgd,adam]"], "optimizer takes one choice, got a list"),
    (["trainer=[cpu,gpu]"], "trainer takes one choice, got a list"),
    (["optimizer=null"], "optimizer must be a name, got null"),
    (["optimizer=true"], "optimizer must be a name, got true"),
    (["optimizer=3"], "no optimizer '3'."),
    (["regularizer=null"], "none at all is 'regularizer=[]'"),
    (["regularizer=[dropout,dropout]"], "'dropout' is chosen twice"),
    (["optimizer@second=adam"], "Did you mean 'optimizer'?"),
    (["split=3"], "split holds keys of its own and is no value"),
    (["seed=0,1"], "seed=0,1 holds several values: sweep over them with harness -m"),
    (["optimizer=sgd,adam"], "sweep over them with harness -m"),
    (["seed=range(3)"], "sweep over them with harness -m"),
    (["-m", "seed=range(0)"], "seed=range(0) holds no value to sweep over"),
    (["-m", "optimizer.lr=interval(0,1)"], "a grid sweeps over lists of values: optimizer.lr=a,b,c"),
    # nothing that a config says is imported
    (["optimizer._target_=os.system"], "never names Python to import"),
    (["+optimizer._target_=os.system"], "never names Python to import"),
    (["+x._target_=os.system"], "never names Python to import"),
    (["+x={y: {_target_: os.system}}"], "never names Python to import"),
    (["-m", "+x._target_=os.system,os.remove"], "never names Python to import"),
    (["optimizer._component_=sgd"], "choose with optimizer=NAME"),
    (["optimizer={_component_: sgd}"], "choose with optimizer=NAME"),
]


@pytest.mark.parametrize(("line", "words"), MALFORMED)
def test_an_override_that_says_nothing_sensible_is_refused(refused: Refused, line: list[str], words: str) -> None:
    assert words in refused(line)
