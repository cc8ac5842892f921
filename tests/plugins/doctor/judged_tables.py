"""Tables that the doctor is judged on: fixed before its rules were set on the other tables of tuning_tables.py."""

# ruff: noqa: E501  # a case is a line

from __future__ import annotations

from tests.plugins.doctor.case import cases

PLANTED = cases({
    "inputs not scaled": """
      data=rows data.draw=501 data.decades=3 transform=[] epochs=15 seed=1
      data=amounts data.draw=502 data.kind=friedman data.decades=2.5 transform=[] epochs=25 seed=2
    """,
    "learning rate too high": """
      data=rows data.draw=503 data.classes=3 optimizer=sgd optimizer.lr=40 epochs=12 seed=3
      data=amounts data.draw=504 data.kind=friedman optimizer.lr=1 epochs=15 seed=4
    """,
    "learning rate too low": """
      data=rows data.draw=505 data.features=20 optimizer.lr=2e-6 epochs=15 seed=5
      data=amounts data.draw=506 optimizer=sgd optimizer.lr=2e-5 epochs=20 seed=6
    """,
    "leak between splits": """
      data=rows data.draw=507 data.n=250 data.copies=3 data.flip=0.2 epochs=20 seed=7
      data=amounts data.draw=508 data.kind=friedman data.n=250 data.copies=2 epochs=20 seed=8
    """,
    "label noise": """
      data=rows data.draw=509 data.n=1200 corruption=[label_noise] corruption.label_noise.p=0.3 epochs=40 seed=9
      data=rows data.draw=510 data.n=1500 data.classes=4 corruption=[label_noise] corruption.label_noise.p=0.35 epochs=30 seed=10
      data=rows data.draw=511 data.n=900 data.shuffled=true epochs=20 seed=11
    """,
    "imbalance": """
      data=rows data.draw=512 data.n=1500 data.rare=0.03 data.apart=0.8 epochs=12 seed=12
      data=rows data.draw=513 data.n=2000 data.classes=3 data.rare=0.025 data.apart=0.8 epochs=10 seed=13
    """,
    "dying ReLU": """
      data=rows data.draw=514 initializer=bias_shift initializer.value=-25 epochs=15 seed=14
      data=amounts data.draw=515 data.kind=pairs initializer=bias_shift initializer.value=-18 epochs=20 seed=15
    """,
    "underfitting": """
      data=amounts data.draw=516 data.kind=friedman data.n=900 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60 seed=16
      data=rows data.draw=517 data.n=1000 data.classes=6 data.features=16 data.informative=8 model=mlp model.width=1 epochs=40 optimizer.lr=0.01 seed=17
      data=rows data.draw=518 data.n=800 data.classes=4 regularizer=[l2] regularizer.l2.strength=3 epochs=20 seed=18
    """,
    "overfitting": """
      data=rows data.draw=519 data.n=200 data.features=80 data.flip=0.2 model=mlp model.width=256 epochs=150 seed=19
      data=amounts data.draw=520 data.n=160 data.features=40 data.noise=0.5 model=mlp model.width=256 epochs=200 seed=20
      data=rows data.draw=521 data.n=250 data.features=60 data.flip=0.3 model=mlp model.width=512 optimizer.lr=0.003 epochs=120 seed=21
    """,
    "wrong loss": """
      data=rows data.draw=522 loss=raw_error epochs=15 seed=22
      data=rows data.draw=523 data.classes=4 model=softmax_out epochs=30 seed=23
    """,
    "symmetric units": """
      data=rows data.draw=524 initializer=zeros epochs=20 seed=24
      data=amounts data.draw=525 data.kind=friedman initializer=constant initializer.value=0.1 activation=tanh epochs=25 seed=25
    """,
    "vanishing gradients": """
      data=rows data.draw=526 data.classes=4 model=mlp model.depth=8 activation=sigmoid epochs=20 seed=26
    """,
    "targets not scaled": """
      data=amounts data.draw=527 data.unit=1e5 data.shift=3e5 task=regression task.standardize=false epochs=30 seed=27
      data=amounts data.draw=528 data.kind=friedman data.unit=3e4 task=regression task.standardize=false optimizer.lr=0.003 epochs=30 seed=28
    """,
    "constant targets": """
      data=amounts data.draw=529 data.constant=true data.shift=7 epochs=10 seed=29
    """,
    "target among the inputs": """
      data=rows data.draw=530 data.told=true data.flip=0.3 epochs=20 seed=30
      data=amounts data.draw=531 data.told=true data.kind=friedman data.noise=0.7 epochs=40 seed=31
    """,
})  # fmt: skip

HEALTHY = cases({"": """
    data=rows data.draw=601 epochs=15 seed=61
    data=rows data.draw=602 data.flip=0.1 epochs=15 seed=62
    data=rows data.draw=603 data.flip=0.2 epochs=12 seed=63
    data=rows data.draw=604 data.flip=0.3 epochs=10 seed=64
    data=rows data.draw=605 data.flip=0.4 epochs=10 data.n=1200 seed=65
    data=rows data.draw=606 data.apart=0.5 epochs=12 seed=66
    data=rows data.draw=607 data.apart=0.7 data.flip=0.1 epochs=12 seed=67
    data=rows data.draw=608 data.classes=3 data.flip=0.2 epochs=15 seed=68
    data=rows data.draw=609 data.classes=4 data.n=1000 data.flip=0.15 epochs=15 seed=69
    data=rows data.draw=610 data.classes=5 data.n=1200 data.apart=1 epochs=15 seed=70
    data=rows data.draw=611 data.clusters=2 data.n=1000 epochs=20 seed=71
    data=rows data.draw=612 data.clusters=2 data.n=1000 data.flip=0.15 epochs=15 seed=72
    data=rows data.draw=613 data.rare=0.3 data.flip=0.1 epochs=15 seed=73
    data=rows data.draw=614 data.rare=0.2 data.n=1000 epochs=15 seed=74
    data=rows data.draw=615 data.rare=0.15 data.n=1200 data.apart=2 epochs=20 seed=75
    data=rows data.draw=616 data.classes=3 data.rare=0.15 data.n=1200 data.apart=2 epochs=20 seed=76
    data=rows data.draw=617 data.rare=0.28 data.flip=0.25 data.n=900 epochs=10 seed=77
    data=rows data.draw=618 data.n=150 batch_size=16 epochs=15 seed=78
    data=rows data.draw=619 data.n=200 data.flip=0.1 batch_size=16 epochs=8 seed=79
    data=rows data.draw=620 data.n=120 batch_size=16 epochs=12 activation=tanh seed=80
    data=rows data.draw=621 data.n=250 data.classes=3 batch_size=16 epochs=10 seed=81
    data=rows data.draw=622 data.n=800 data.features=60 data.flip=0.05 regularizer=[early_stopping] epochs=40 seed=82
    data=rows data.draw=623 data.n=1000 data.features=100 data.informative=20 regularizer=[dropout] epochs=8 seed=83
    data=rows data.draw=624 data.n=500 data.features=80 data.informative=10 data.flip=0.1 model=logistic regularizer=[early_stopping] optimizer.lr=0.01 epochs=30 seed=84
    data=rows data.draw=625 data.n=1200 data.features=50 epochs=6 seed=85
    data=rows data.draw=626 data.decades=3 epochs=15 seed=86
    data=rows data.draw=627 data.decades=2 data.flip=0.15 activation=tanh epochs=12 seed=87
    data=rows data.draw=628 data.decades=1 data.classes=3 data.n=900 epochs=15 seed=88
    data=rows data.draw=629 model=logistic data.flip=0.2 optimizer.lr=0.01 epochs=40 seed=89
    data=rows data.draw=630 model=mlp model.width=32 model.depth=1 data.flip=0.2 epochs=25 seed=90
    data=rows data.draw=631 optimizer=sgd optimizer.lr=0.1 data.flip=0.1 epochs=20 seed=91
    data=rows data.draw=632 normalization=batch_norm data.flip=0.15 epochs=8 seed=92
    data=rows data.draw=633 task=binary_classification data.flip=0.15 epochs=15 seed=93
    data=rows data.draw=634 regularizer=[weight_decay] optimizer=adamw data.flip=0.25 epochs=10 seed=94
    data=amounts data.draw=641 epochs=25 seed=95
    data=amounts data.draw=642 data.noise=0.5 epochs=12 seed=96
    data=amounts data.draw=643 data.noise=1 data.n=1000 epochs=8 seed=97
    data=amounts data.draw=644 data.noise=2 data.n=1200 model=mlp model.depth=0 optimizer.lr=0.01 epochs=30 seed=98
    data=amounts data.draw=645 data.kind=friedman epochs=40 seed=99
    data=amounts data.draw=646 data.kind=friedman data.noise=0.5 data.n=1000 epochs=15 seed=100
    data=amounts data.draw=647 data.kind=friedman data.noise=1 data.n=1200 epochs=8 seed=101
    data=amounts data.draw=648 data.kind=steps data.n=900 epochs=25 seed=102
    data=amounts data.draw=649 data.kind=pairs data.features=6 data.n=1000 epochs=40 seed=103
    data=amounts data.draw=650 data.n=150 data.features=5 batch_size=16 epochs=20 seed=104
    data=amounts data.draw=651 data.n=200 data.noise=0.4 data.features=6 batch_size=16 epochs=10 seed=105
    data=amounts data.draw=652 data.unit=1e6 data.shift=4e6 data.noise=0.2 epochs=20 seed=106
    data=amounts data.draw=653 data.decades=3 data.noise=0.2 epochs=20 seed=107
    data=amounts data.draw=654 data.features=40 data.n=800 data.noise=0.3 regularizer=[early_stopping] epochs=40 seed=108
    data=amounts data.draw=655 data.features=30 data.n=600 data.noise=0.3 model=mlp model.depth=0 optimizer.lr=0.01 epochs=40 seed=109
    data=amounts data.draw=656 data.kind=friedman data.noise=0.3 activation=tanh optimizer.lr=0.003 epochs=25 seed=110
"""})  # fmt: skip
