"""The cases that the thresholds were set on. What is judged stands in judged.py, and is other data, seeds, settings."""

from __future__ import annotations

from tests.doctor.case import cases

PLANTED = cases({
    "vanishing gradients": """
      model=mlp model.depth=8 activation=sigmoid epochs=15
      model=mlp model.depth=6 initializer=normal initializer.std=0.01 optimizer=sgd epochs=15
      model=mlp model.depth=7 activation=tanh initializer=normal initializer.std=0.02 optimizer=sgd data=breast_cancer
    """,
    "exploding gradients": """
      model=mlp model.depth=6 initializer=normal initializer.std=0.5 epochs=10
      model=mlp model.depth=5 initializer=normal initializer.std=0.6 optimizer=sgd data=breast_cancer
    """,
    "dying ReLU": """
      initializer=bias_shift initializer.value=-20 epochs=10
      initializer=bias_shift initializer.value=-30 data=moons epochs=20
    """,
    "saturation": """
      activation=tanh initializer=normal initializer.std=3 optimizer=sgd epochs=10
      activation=sigmoid initializer=normal initializer.std=10 data=breast_cancer
    """,
    "symmetric units": """
      initializer=zeros epochs=10
      initializer=constant initializer.value=0.05 epochs=10
    """,
    "learning rate too high": """
      optimizer=sgd optimizer.lr=20 epochs=10
      optimizer.lr=0.5 epochs=10
      optimizer=momentum optimizer.lr=5 data=moons
    """,
    "learning rate too low": """
      optimizer.lr=1e-6 epochs=10
      optimizer=sgd optimizer.lr=1e-5 data=breast_cancer epochs=30
    """,
    "inputs not scaled": """
      data=wine transform=[] batch_size=16 epochs=20
      data=breast_cancer transform=[] optimizer=sgd epochs=20
    """,
    "wrong loss": """
      loss=raw_error epochs=10
      model=softmax_out epochs=10
      model=relu_out data=diabetes epochs=40
      data=coded epochs=40
    """,
    "batch norm with small batches": """
      normalization=batch_norm batch_size=2 epochs=3
      normalization=batch_norm batch_size=3 data=breast_cancer epochs=5
    """,
    "batch norm in the wrong mode": """
      normalization=stuck_batch_norm epochs=10
      normalization=training_batch_norm data=breast_cancer epochs=10
    """,
    "overfitting": """
      corruption=[fraction] corruption.fraction.n=40 epochs=200 batch_size=16
      data=moons data.noise=0.4 data.n=60 model=mlp model.width=512 epochs=500 batch_size=16
      data=diabetes epochs=40
      data=sparse_regression epochs=60 data.n=500
    """,
    "underfitting": """
      model=mlp model.width=1 epochs=20
      model=mlp data=moons model.depth=0 epochs=100 optimizer.lr=0.05
    """,
    "label noise": """
      data=noisy data.name=digits data.p=0.3 epochs=40
      data=noisy data.name=breast_cancer data.p=0.25 epochs=60
    """,
    "leak between splits": """
      data=doubled data.name=breast_cancer
      corruption=[leak] corruption.leak.share=0.5 epochs=10
    """,
    "imbalance": """
      corruption=[imbalance] corruption.imbalance.ratio=0.01 epochs=10
      data=breast_cancer corruption=[imbalance] corruption.imbalance.ratio=0.02 epochs=10
    """,
    "disconnected parameters": """
      model=detached epochs=10
      model=unused data=breast_cancer
    """,
    "data loader bound": """
      data=slow optimizer.lr=0.01 epochs=15
    """,
    "batch too small for the device": """
      batch_size=1 epochs=2 optimizer.lr=3e-4
    """,
    "memory": """
      model=greedy epochs=3
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
"""})  # fmt: skip
