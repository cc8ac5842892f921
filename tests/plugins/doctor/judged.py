"""The cases that the doctor is judged on; none was used to set its thresholds."""

from __future__ import annotations

from tests.plugins.doctor.case import cases

PLANTED = cases({
    "vanishing gradients": """
      model=mlp model.depth=6 activation=sigmoid data=blobs data.features=12 data.classes=6 split.seed=7 seed=31
      model=mlp model.depth=7 model.width=96 activation=sigmoid split.seed=8 seed=32
      model=mlp model.depth=7 model.width=96 initializer=normal initializer.std=0.015 optimizer=momentum seed=33
    """,
    "exploding gradients": """
      model=mlp model.depth=8 model.width=96 initializer=normal initializer.std=0.6 split.seed=7 seed=31
      model=mlp model.depth=5 initializer=normal initializer.std=1 optimizer=sgd data=breast_cancer split.seed=8 seed=32
    """,
    "dying ReLU": """
      initializer=bias_shift initializer.value=-18 data=wine batch_size=12 split.seed=7 seed=31
      initializer=bias_shift initializer.value=-30 optimizer=sgd optimizer.lr=0.1 split.seed=8 seed=32
    """,
    "saturation": """
      activation=tanh initializer=normal initializer.std=5 optimizer=sgd optimizer.lr=0.05 epochs=15 split.seed=7 seed=3
      activation=sigmoid initializer=normal initializer.std=12 optimizer=sgd optimizer.lr=0.1 split.seed=8 seed=32
    """,
    "symmetric units": """
      initializer=zeros data=breast_cancer split.seed=7 seed=31
      initializer=constant initializer.value=0.2 activation=tanh data=moons optimizer.lr=0.01 epochs=30 seed=32
      initializer=zeros activation=gelu optimizer=sgd optimizer.lr=0.1 split.seed=8 seed=33
    """,
    "learning rate too high": """
      optimizer=sgd optimizer.lr=30 data=breast_cancer split.seed=7 seed=31
      optimizer.lr=2 activation=tanh split.seed=8 epochs=12 seed=32
      optimizer=nesterov optimizer.lr=4 data=wine batch_size=16 epochs=20 split.seed=9 seed=33
    """,
    "learning rate too low": """
      optimizer.lr=2e-6 data=breast_cancer split.seed=7 seed=31
      optimizer=sgd optimizer.lr=3e-5 activation=tanh epochs=12 split.seed=8 seed=32
      optimizer=momentum optimizer.lr=2e-6 data=wine batch_size=16 epochs=20 split.seed=9 seed=33
    """,
    "inputs not scaled": """
      data=diabetes transform=[] activation=tanh epochs=30 split.seed=7 seed=31
      data=breast_cancer transform=[] optimizer=momentum optimizer.lr=0.01 epochs=15 split.seed=8 seed=32
      data=wine transform=[] activation=gelu batch_size=12 epochs=20 split.seed=9 seed=33
    """,
    "wrong loss": """
      loss=raw_error data=breast_cancer split.seed=7 seed=31
      loss=raw_error data=diabetes optimizer=sgd optimizer.lr=0.05 epochs=20 split.seed=8 seed=32
      model=softmax_out data=wine batch_size=16 epochs=30 split.seed=9 seed=33
      model=relu_out data=manifold epochs=30 seed=34
      data=coded data.name=digits epochs=20 split.seed=7 seed=35
    """,
    "batch norm with small batches": """
      normalization=batch_norm batch_size=2 data=circles epochs=4 split.seed=7 seed=31
      normalization=batch_norm batch_size=3 data=moons data.n=750 activation=tanh epochs=4 split.seed=8 seed=32
      normalization=batch_norm batch_size=3 model=mlp model.width=64 epochs=3 split.seed=9 seed=33
    """,
    "batch norm in the wrong mode": """
      normalization=stuck_batch_norm activation=tanh epochs=12 split.seed=7 seed=31
      normalization=training_batch_norm data=moons optimizer.lr=0.01 epochs=20 split.seed=8 seed=32
    """,
    "overfitting": """
      corruption=[fraction] corruption.fraction.n=80 activation=gelu epochs=120 batch_size=20 split.seed=7 seed=31
      data=diabetes model=mlp model.width=256 epochs=200 optimizer.lr=0.003 split.seed=8 seed=32
      data=moons data.noise=0.5 data.n=200 model=mlp model.width=512 epochs=400 optimizer.lr=0.01 seed=33
    """,
    "underfitting": """
      model=mlp model.width=2 model.depth=2 activation=tanh epochs=30 split.seed=7 seed=31
      data=circles data.noise=0.05 model=mlp model.depth=0 epochs=60 optimizer.lr=0.02 split.seed=8 seed=32
      data=spirals model=mlp model.depth=0 epochs=80 optimizer.lr=0.02 split.seed=9 seed=33
      regularizer=[l2] regularizer.l2.strength=2 activation=tanh epochs=15 seed=34
    """,
    "label noise": """
      data=noisy data.name=wine data.p=0.4 batch_size=16 epochs=40 split.seed=7 seed=31
      data=blobs data.classes=5 corruption=[label_noise] corruption.label_noise.p=0.25 epochs=50 split.seed=8 seed=32
      data=noisy data.name=digits data.p=0.25 activation=gelu epochs=30 split.seed=9 seed=33
    """,
    "leak between splits": """
      data=doubled data.name=wine batch_size=16 split.seed=7 seed=31
      data=doubled data.name=digits data.noise=1e-5 epochs=10 split.seed=8 seed=32
      data=moons corruption=[leak] corruption.leak.share=0.5 epochs=30 optimizer.lr=0.01 split.seed=9 seed=33
    """,
    "imbalance": """
      data=moons corruption=[imbalance] corruption.imbalance.ratio=0.02 optimizer.lr=0.003 epochs=30 seed=31
      corruption=[imbalance] corruption.imbalance.ratio=0.015 activation=gelu epochs=12 split.seed=8 seed=32
    """,
    "disconnected parameters": """
      model=detached data=spirals optimizer.lr=0.01 epochs=40 seed=31
      model=unused activation=tanh epochs=10 split.seed=8 seed=32
    """,
    "data loader bound": """
      data=slow data.seconds=0.001 optimizer.lr=0.01 batch_size=16 epochs=12 split.seed=7 seed=31
    """,
    "batch too small for the device": """
      batch_size=1 data=moons data.n=300 optimizer.lr=0.003 epochs=15 split.seed=7 seed=31
      batch_size=2 data=breast_cancer activation=tanh epochs=5 split.seed=8 seed=32
    """,
    "memory": """
      model=greedy data=breast_cancer batch_size=100 epochs=10 split.seed=7 seed=31
    """,
})  # fmt: skip

HEALTHY = cases({"": """
    seed=41 split.seed=11
    seed=42 split.seed=12
    seed=43 split.seed=13
    activation=tanh seed=44 split.seed=11
    activation=gelu seed=45 split.seed=12
    activation=silu seed=46 split.seed=13
    activation=mish seed=47 split.seed=14
    activation=elu seed=48 split.seed=11
    activation=selu seed=49 split.seed=12
    activation=leaky_relu seed=50 split.seed=13
    optimizer=adamw seed=51 split.seed=14
    optimizer=nadam seed=52 split.seed=11
    optimizer=lion seed=53 split.seed=12
    optimizer=adagrad optimizer.lr=0.03 seed=54 split.seed=13
    optimizer=nesterov optimizer.lr=0.01 seed=55 split.seed=14
    optimizer=sgd optimizer.lr=0.15 seed=56 split.seed=11
    optimizer=muon seed=57 split.seed=12
    initializer=orthogonal seed=58 split.seed=13
    initializer=lecun_uniform seed=59 split.seed=14
    initializer=xavier_normal seed=60 split.seed=11
    normalization=batch_norm split.seed=12 seed=61
    normalization=group_norm split.seed=13 seed=62
    normalization=layer_norm activation=tanh split.seed=14 seed=63
    model=cnn model.channels=[12,24] epochs=10 seed=64 split.seed=11
    model=resnet epochs=5 seed=65 split.seed=12
    model=mlp model.width=96 model.depth=3 seed=66 split.seed=13
    model=mlp model.width=512 model.depth=1 seed=67 split.seed=14
    model=mlp model.depth=5 activation=tanh initializer=xavier_normal seed=68 split.seed=11
    model=logistic epochs=40 optimizer.lr=0.01 seed=69 split.seed=12
    data=wine batch_size=16 epochs=25 activation=relu seed=70 split.seed=11
    data=wine batch_size=16 epochs=25 activation=tanh seed=71 split.seed=12
    data=wine batch_size=16 epochs=25 activation=elu seed=72 split.seed=13
    data=wine batch_size=16 epochs=40 activation=sigmoid seed=73 split.seed=14
    data=iris epochs=50 optimizer.lr=0.01 activation=relu seed=74 split.seed=11
    data=iris epochs=50 optimizer.lr=0.01 activation=tanh seed=75 split.seed=12
    data=iris epochs=50 optimizer.lr=0.01 activation=gelu seed=76 split.seed=13
    data=circles epochs=25 optimizer.lr=0.01 activation=relu seed=77 split.seed=11
    data=circles epochs=25 optimizer.lr=0.01 activation=tanh seed=78 split.seed=12
    data=circles epochs=25 optimizer.lr=0.01 activation=silu seed=79 split.seed=13
    data=circles data.noise=0.05 epochs=25 optimizer.lr=0.01 activation=selu seed=80 split.seed=14
    data=spirals data.noise=0.1 epochs=100 optimizer.lr=0.01 activation=relu seed=81 split.seed=11
    data=spirals data.noise=0.1 epochs=100 optimizer.lr=0.01 activation=tanh seed=82 split.seed=12
    data=blobs data.classes=3 data.features=6 epochs=20 optimizer.lr=0.01 seed=83 split.seed=11
    data=blobs data.classes=5 data.features=10 epochs=20 optimizer.lr=0.01 seed=84 split.seed=12
    data=blobs data.classes=7 data.features=8 epochs=20 optimizer.lr=0.01 seed=85 split.seed=13
    data=breast_cancer epochs=12 seed=86 split.seed=11
    data=breast_cancer epochs=12 activation=tanh seed=87 split.seed=12
    data=breast_cancer task=binary_classification epochs=15 seed=88 split.seed=13
    data=moons data.noise=0.15 epochs=40 optimizer.lr=0.01 seed=89 split.seed=11
    data=moons data.noise=0.15 epochs=40 optimizer.lr=0.01 activation=gelu seed=90 split.seed=12
    data=diabetes model=linear_regression split.seed=11
    data=diabetes model=linear_regression split.seed=12
    data=radial epochs=80 optimizer.lr=0.005 data.frequency=1 seed=93 split.seed=11
    data=sparse_regression data.n=600 model=linear_regression split.seed=11
    data=line data.outliers=0 epochs=100 seed=95 split.seed=11
    data=manifold epochs=30 seed=96 split.seed=11
    data=swiss_roll epochs=80 optimizer.lr=0.01 seed=97 split.seed=11
    regularizer=[dropout] regularizer.dropout.p=0.25 split.seed=14 seed=98
    regularizer=[weight_decay,label_smoothing] seed=99 split.seed=11
    regularizer=[early_stopping] epochs=50 seed=100 split.seed=12
    augmentation=[input_noise] seed=101 split.seed=13
    scheduler=one_cycle optimizer.lr=0.004 seed=102 split.seed=14
    scheduler=exponential warmup=0.1 optimizer.lr=0.004 seed=103 split.seed=11
    batch_size=32 epochs=12 seed=104 split.seed=12
    batch_size=128 epochs=30 seed=105 split.seed=13
    transform=[min_max] activation=tanh seed=106 split.seed=14
"""})  # fmt: skip
