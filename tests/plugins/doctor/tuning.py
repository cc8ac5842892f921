"""The cases used to set the thresholds; those to judge, in judged.py, have other data, seeds, settings."""

from __future__ import annotations

from tests.plugins.doctor.case import cases

PLANTED = cases({
    "vanishing gradients": """
      model=mlp model.depth=8 activation=sigmoid epochs=15
      model=mlp model.depth=6 initializer=normal initializer.std=0.01 optimizer=sgd epochs=15
      model=mlp model.depth=7 activation=tanh initializer=normal initializer.std=0.02 optimizer=sgd data=breast_cancer
      model=mlp model.depth=7 activation=sigmoid data=blobs data.features=10 data.classes=5 seed=11
      model=mlp model.depth=8 activation=sigmoid data=wine batch_size=16 epochs=30 seed=12
      model=mlp model.depth=8 model.width=64 initializer=normal initializer.std=0.02 optimizer=sgd seed=11
    """,
    "exploding gradients": """
      model=mlp model.depth=6 initializer=normal initializer.std=0.5 epochs=10
      model=mlp model.depth=5 initializer=normal initializer.std=0.6 optimizer=sgd data=breast_cancer
      model=mlp model.depth=7 model.width=64 initializer=normal initializer.std=0.8 seed=11
      model=mlp model.depth=6 initializer=normal initializer.std=0.7 optimizer=sgd optimizer.lr=0.1 data=circles seed=12
    """,
    "dying ReLU": """
      initializer=bias_shift initializer.value=-20 epochs=10
      initializer=bias_shift initializer.value=-30 data=moons epochs=20
      initializer=bias_shift initializer.value=-15 data=wine batch_size=16 seed=11
      initializer=bias_shift initializer.value=-25 data=circles optimizer.lr=0.01 epochs=30 seed=12
    """,
    "saturation": """
      activation=tanh initializer=normal initializer.std=3 optimizer=sgd epochs=10
      activation=sigmoid initializer=normal initializer.std=10 data=breast_cancer
      activation=tanh initializer=normal initializer.std=4 data=wine optimizer=sgd optimizer.lr=0.1 batch_size=9 seed=1
    """,
    "symmetric units": """
      initializer=zeros epochs=10
      initializer=constant initializer.value=0.05 epochs=10
      initializer=zeros data=wine batch_size=16 seed=11
      initializer=constant initializer.value=0.1 activation=tanh data=circles optimizer.lr=0.01 epochs=30 seed=12
      initializer=zeros activation=tanh optimizer=sgd optimizer.lr=0.1 seed=13
    """,
    "learning rate too high": """
      optimizer=sgd optimizer.lr=20 epochs=10
      optimizer.lr=0.5 epochs=10
      optimizer=momentum optimizer.lr=5 data=moons
      optimizer=sgd optimizer.lr=50 data=wine batch_size=16 seed=11
      optimizer=nesterov optimizer.lr=3 epochs=10 split.seed=1 seed=13
    """,
    "learning rate too low": """
      optimizer.lr=1e-6 epochs=10
      optimizer=sgd optimizer.lr=1e-5 data=breast_cancer epochs=30
      optimizer.lr=1e-6 data=wine batch_size=16 seed=11
      optimizer=sgd optimizer.lr=1e-4 data=circles epochs=60 seed=12
      optimizer=momentum optimizer.lr=1e-6 epochs=10 split.seed=1 seed=13
    """,
    "inputs not scaled": """
      data=wine transform=[] batch_size=16 epochs=20
      data=breast_cancer transform=[] optimizer=sgd epochs=20
      data=diabetes transform=[] epochs=30 seed=11
      data=breast_cancer transform=[] activation=tanh epochs=10 seed=12
      data=wine transform=[] optimizer=sgd optimizer.lr=0.1 batch_size=16 epochs=30 seed=13
    """,
    "wrong loss": """
      loss=raw_error epochs=10
      model=softmax_out epochs=10
      model=relu_out data=diabetes epochs=40
      data=coded epochs=40
      loss=raw_error data=wine batch_size=16 seed=11
      loss=raw_error data=diabetes epochs=30 seed=12
      model=softmax_out data=iris optimizer.lr=0.01 epochs=30 seed=11
      model=relu_out data=sparse_regression epochs=60 seed=12
      data=coded data.name=iris optimizer.lr=0.01 epochs=30 seed=13
    """,
    "batch norm with small batches": """
      normalization=batch_norm batch_size=2 epochs=3
      normalization=batch_norm batch_size=3 data=breast_cancer epochs=5
      normalization=batch_norm batch_size=2 data=moons epochs=3 seed=11
      normalization=batch_norm batch_size=2 data=breast_cancer activation=gelu epochs=5 seed=12
      normalization=batch_norm batch_size=4 data=digits activation=tanh epochs=3 seed=13
    """,
    "batch norm in the wrong mode": """
      normalization=stuck_batch_norm epochs=10
      normalization=training_batch_norm data=breast_cancer epochs=10
      normalization=training_batch_norm data=circles optimizer.lr=0.01 epochs=30 seed=12
    """,
    "overfitting": """
      corruption=[fraction] corruption.fraction.n=40 epochs=200 batch_size=16
      data=moons data.noise=0.4 data.n=60 model=mlp model.width=512 epochs=500 batch_size=16
      data=diabetes epochs=40
      data=sparse_regression epochs=60 data.n=500
      corruption=[fraction] corruption.fraction.n=60 activation=tanh epochs=150 batch_size=20 split.seed=3 seed=11
      data=diabetes model=mlp model.width=512 epochs=300 optimizer.lr=0.003 seed=12
      data=circles data.noise=0.3 data.n=150 model=mlp model.width=512 epochs=500 optimizer.lr=0.01 seed=13
    """,
    "underfitting": """
      model=mlp model.width=1 epochs=20
      model=mlp data=moons model.depth=0 epochs=100 optimizer.lr=0.05
      model=mlp model.width=2 model.depth=1 epochs=30 split.seed=2 seed=11
      data=circles model=mlp model.depth=0 epochs=60 optimizer.lr=0.03 seed=12
      data=spirals model=mlp model.depth=0 epochs=100 optimizer.lr=0.03 seed=13
      regularizer=[l2] regularizer.l2.strength=1 epochs=20 seed=14
    """,
    "label noise": """
      data=noisy data.name=digits data.p=0.3 epochs=40
      data=noisy data.name=breast_cancer data.p=0.25 epochs=60
      data=noisy data.name=wine data.p=0.35 epochs=60 seed=11
      data=blobs data.classes=4 corruption=[label_noise] corruption.label_noise.p=0.3 epochs=60 seed=12
      data=noisy data.name=digits data.p=0.2 activation=tanh epochs=40 split.seed=4 seed=13
    """,
    "leak between splits": """
      data=doubled data.name=breast_cancer
      corruption=[leak] corruption.leak.share=0.5 epochs=10
      data=doubled data.name=wine batch_size=16 seed=11
      data=doubled data.name=breast_cancer data.noise=1e-6 split.seed=2 seed=12
      data=circles corruption=[leak] corruption.leak.share=0.6 epochs=40 optimizer.lr=0.01 seed=13
    """,
    "imbalance": """
      corruption=[imbalance] corruption.imbalance.ratio=0.01 epochs=10
      data=breast_cancer corruption=[imbalance] corruption.imbalance.ratio=0.02 epochs=10
      data=circles corruption=[imbalance] corruption.imbalance.ratio=0.02 optimizer.lr=0.003 epochs=40 seed=11
      corruption=[imbalance] corruption.imbalance.ratio=0.02 activation=tanh epochs=15 split.seed=5 seed=12
    """,
    "disconnected parameters": """
      model=detached epochs=10
      model=unused data=breast_cancer
      model=detached data=circles optimizer.lr=0.01 epochs=30 seed=11
      model=unused data=wine batch_size=16 seed=12
    """,
    "data loader bound": """
      data=slow optimizer.lr=0.01 epochs=15
      data=slow data.seconds=0.0005 optimizer.lr=0.01 batch_size=32 epochs=20 seed=11
    """,
    "batch too small for the device": """
      batch_size=1 epochs=2 optimizer.lr=3e-4
      batch_size=1 data=circles data.n=300 optimizer.lr=0.003 epochs=20 seed=11
      batch_size=2 data=breast_cancer epochs=6 seed=12
    """,
    "memory": """
      model=greedy epochs=3
      model=greedy data=wine batch_size=48 epochs=20 seed=11
    """,
})  # fmt: skip

HEALTHY = cases({"": """
    seed=1
    activation=tanh seed=2
    activation=sigmoid epochs=40 seed=3
    optimizer=sgd optimizer.lr=0.1 seed=4
    optimizer=momentum optimizer.lr=0.02 seed=5
    normalization=batch_norm seed=6
    normalization=layer_norm epochs=15 seed=7
    model=cnn epochs=10 seed=8
    model=logistic epochs=30 optimizer.lr=0.01
    data=breast_cancer epochs=20 seed=1
    data=breast_cancer optimizer=sgd optimizer.lr=0.1 seed=2
    data=breast_cancer normalization=batch_norm activation=gelu seed=3
    data=moons epochs=40 optimizer.lr=0.01 seed=1
    data=moons activation=tanh epochs=60 optimizer.lr=0.01
    data=circles epochs=40 optimizer.lr=0.01
    data=blobs epochs=20 optimizer.lr=0.01
    data=diabetes epochs=40 optimizer=sgd optimizer.lr=0.05
    regularizer=[dropout] regularizer.dropout.p=0.2 seed=3
    regularizer=[l2,early_stopping] seed=4
    model=mlp model.depth=5 seed=5
    model=mlp model.depth=4 model.residual=true seed=6
    transform=[min_max] seed=1
    batch_size=16 epochs=8
    batch_size=256 epochs=40 optimizer.lr=0.003
    activation=leaky_relu initializer=xavier_normal seed=2
    activation=elu optimizer=adamw seed=9
    scheduler=cosine optimizer=sgd optimizer.lr=0.2 seed=2
    transform=[] seed=2
    seed=21 split.seed=21
    seed=22 split.seed=22
    seed=23 split.seed=23
    activation=tanh seed=20 split.seed=1
    activation=gelu seed=21 split.seed=1
    activation=silu seed=22 split.seed=1
    activation=mish seed=23 split.seed=1
    activation=elu seed=24 split.seed=1
    activation=selu seed=25 split.seed=1
    activation=leaky_relu seed=26 split.seed=1
    optimizer=adamw seed=30
    optimizer=nadam seed=31
    optimizer=lion seed=32
    optimizer=adagrad optimizer.lr=0.02 seed=34
    optimizer=nesterov optimizer.lr=0.02 seed=35
    optimizer=sgd optimizer.lr=0.2 seed=36
    optimizer=muon seed=37
    initializer=orthogonal seed=40
    initializer=lecun_normal seed=41
    initializer=xavier_uniform seed=42
    normalization=batch_norm split.seed=2 seed=50
    normalization=group_norm split.seed=2 seed=51
    normalization=rms_norm split.seed=2 seed=52
    model=cnn model.channels=[8,16] epochs=12 seed=61
    model=resnet epochs=6 seed=62
    model=mlp model.width=64 model.depth=3 seed=63
    model=mlp model.width=256 model.depth=1 seed=64
    model=mlp model.depth=6 activation=tanh initializer=xavier_normal seed=65
    data=wine batch_size=16 epochs=30 activation=relu seed=70 split.seed=0
    data=wine batch_size=16 epochs=30 activation=tanh seed=71 split.seed=1
    data=wine batch_size=16 epochs=30 activation=gelu seed=72 split.seed=2
    data=wine batch_size=16 epochs=30 activation=sigmoid seed=73 split.seed=3
    data=iris epochs=60 optimizer.lr=0.01 activation=relu seed=75
    data=iris epochs=60 optimizer.lr=0.01 activation=tanh seed=76
    data=iris epochs=60 optimizer.lr=0.01 activation=silu seed=77
    data=circles epochs=30 optimizer.lr=0.01 activation=relu seed=80
    data=circles epochs=30 optimizer.lr=0.01 activation=tanh seed=81
    data=circles epochs=30 optimizer.lr=0.01 activation=elu seed=82
    data=circles epochs=30 optimizer.lr=0.01 activation=selu seed=83
    data=spirals data.noise=0.1 epochs=100 optimizer.lr=0.01 activation=relu seed=84
    data=spirals data.noise=0.1 epochs=100 optimizer.lr=0.01 activation=gelu seed=85
    data=blobs data.classes=2 data.features=8 epochs=20 optimizer.lr=0.01 seed=92
    data=blobs data.classes=4 data.features=8 epochs=20 optimizer.lr=0.01 seed=94
    data=blobs data.classes=6 data.features=8 epochs=20 optimizer.lr=0.01 seed=96
    data=breast_cancer epochs=15 split.seed=1 seed=101
    data=breast_cancer epochs=15 split.seed=2 seed=102
    data=breast_cancer task=binary_classification epochs=20 seed=103
    data=moons data.noise=0.1 epochs=40 optimizer.lr=0.01 split.seed=1 seed=111
    data=moons data.noise=0.1 epochs=40 optimizer.lr=0.01 split.seed=2 seed=112
    data=diabetes optimizer=sgd optimizer.lr=0.05 epochs=30 split.seed=2 seed=122
    data=diabetes model=linear_regression split.seed=123
    data=radial epochs=80 optimizer.lr=0.005 data.frequency=1 seed=124
    data=sparse_regression data.n=800 model=linear_regression split.seed=125
    data=line data.outliers=0 epochs=100 seed=126
    data=manifold epochs=40 seed=127
    data=swiss_roll epochs=80 optimizer.lr=0.01 seed=128
    regularizer=[dropout] regularizer.dropout.p=0.3 split.seed=3 seed=131
    regularizer=[weight_decay,label_smoothing] seed=132
    regularizer=[early_stopping] epochs=60 seed=133
    augmentation=[input_noise] seed=134
    scheduler=one_cycle optimizer.lr=0.005 seed=135
    scheduler=exponential warmup=0.1 optimizer.lr=0.003 seed=136
    batch_size=32 epochs=10 seed=137
    batch_size=128 epochs=25 seed=138
    transform=[min_max] activation=tanh seed=139
"""})  # fmt: skip
