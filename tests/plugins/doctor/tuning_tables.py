"""Tables used to set the doctor's rules; it is judged on others."""

# ruff: noqa: E501  # a case is a line

from __future__ import annotations

from tests.plugins.doctor.case import cases

PLANTED = cases({
    "inputs not scaled": """
      data=rows data.draw=101 data.decades=3 transform=[] epochs=15 seed=201
      data=amounts data.draw=102 data.kind=friedman data.decades=2.5 transform=[] epochs=25 seed=202
    """,
    "learning rate too high": """
      data=rows data.draw=103 data.classes=3 optimizer=sgd optimizer.lr=40 epochs=12 seed=203
      data=amounts data.draw=104 data.kind=friedman optimizer.lr=1 epochs=15 seed=204
    """,
    "learning rate too low": """
      data=rows data.draw=105 data.features=20 optimizer.lr=2e-6 epochs=15 seed=205
      data=amounts data.draw=106 optimizer=sgd optimizer.lr=2e-5 epochs=20 seed=206
    """,
    "leak between splits": """
      data=rows data.draw=107 data.n=220 data.copies=3 data.flip=0.23 epochs=20 seed=207
      data=amounts data.draw=108 data.kind=friedman data.n=220 data.copies=2 epochs=20 seed=208
    """,
    "label noise": """
      data=rows data.draw=109 data.n=1380 corruption=[label_noise] corruption.label_noise.p=0.3 epochs=40 seed=209
      data=rows data.draw=110 data.n=1350 data.classes=4 corruption=[label_noise] corruption.label_noise.p=0.35 epochs=30 seed=210
      data=rows data.draw=111 data.n=810 data.shuffled=true epochs=20 seed=211
    """,
    "imbalance": """
      data=rows data.draw=112 data.n=1350 data.rare=0.027 data.apart=0.8 epochs=12 seed=212
      data=rows data.draw=113 data.n=2300 data.classes=3 data.rare=0.0225 data.apart=0.8 epochs=10 seed=213
    """,
    "dying ReLU": """
      data=rows data.draw=114 initializer=bias_shift initializer.value=-25 epochs=15 seed=214
      data=amounts data.draw=115 data.kind=pairs initializer=bias_shift initializer.value=-18 epochs=20 seed=215
    """,
    "underfitting": """
      data=amounts data.draw=116 data.kind=friedman data.n=810 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60 seed=216
      data=rows data.draw=117 data.n=900 data.classes=6 data.features=16 data.informative=8 model=mlp model.width=1 epochs=40 optimizer.lr=0.01 seed=217
      data=rows data.draw=118 data.n=920 data.classes=4 regularizer=[l2] regularizer.l2.strength=3 epochs=20 seed=218
    """,
    "overfitting": """
      data=rows data.draw=119 data.n=180 data.features=80 data.flip=0.23 model=mlp model.width=256 epochs=150 seed=219
      data=amounts data.draw=120 data.n=140 data.features=40 data.noise=0.54 model=mlp model.width=256 epochs=200 seed=220
      data=rows data.draw=121 data.n=220 data.features=60 data.flip=0.33 model=mlp model.width=512 optimizer.lr=0.003 epochs=120 seed=221
    """,
    "wrong loss": """
      data=rows data.draw=122 loss=raw_error epochs=15 seed=222
      data=rows data.draw=123 data.classes=4 model=softmax_out epochs=30 seed=223
    """,
    "symmetric units": """
      data=rows data.draw=124 initializer=zeros epochs=20 seed=224
      data=amounts data.draw=125 data.kind=friedman initializer=constant initializer.value=0.1 activation=tanh epochs=25 seed=225
    """,
    "vanishing gradients": """
      data=rows data.draw=126 data.classes=4 model=mlp model.depth=8 activation=sigmoid epochs=20 seed=226
    """,
    "targets not scaled": """
      data=amounts data.draw=127 data.unit=1e5 data.shift=3e5 task=regression task.standardize=false epochs=30 seed=227
      data=amounts data.draw=128 data.kind=friedman data.unit=3e4 task=regression task.standardize=false optimizer.lr=0.003 epochs=30 seed=228
    """,
    "constant targets": """
      data=amounts data.draw=129 data.constant=true data.shift=7 epochs=10 seed=229
    """,
    "target among the inputs": """
      data=rows data.draw=130 data.told=true data.flip=0.33 epochs=20 seed=230
      data=amounts data.draw=131 data.told=true data.kind=friedman data.noise=0.74 epochs=40 seed=231
    """,
})  # fmt: skip

HEALTHY = cases({"": """
    data=rows data.draw=201 epochs=15 seed=261
    data=rows data.draw=202 data.flip=0.13 epochs=15 seed=262
    data=rows data.draw=203 data.flip=0.23 epochs=12 seed=263
    data=rows data.draw=204 data.flip=0.33 epochs=10 seed=264
    data=rows data.draw=205 data.flip=0.43 epochs=10 data.n=1380 seed=265
    data=rows data.draw=206 data.apart=0.5 epochs=12 seed=266
    data=rows data.draw=207 data.apart=0.7 data.flip=0.13 epochs=12 seed=267
    data=rows data.draw=208 data.classes=3 data.flip=0.23 epochs=15 seed=268
    data=rows data.draw=209 data.classes=4 data.n=900 data.flip=0.15 epochs=15 seed=269
    data=rows data.draw=210 data.classes=5 data.n=1380 data.apart=1 epochs=15 seed=270
    data=rows data.draw=211 data.clusters=2 data.n=900 epochs=20 seed=271
    data=rows data.draw=212 data.clusters=2 data.n=900 data.flip=0.15 epochs=15 seed=272
    data=rows data.draw=213 data.rare=0.27 data.flip=0.13 epochs=15 seed=273
    data=rows data.draw=214 data.rare=0.18 data.n=900 epochs=15 seed=274
    data=rows data.draw=215 data.rare=0.135 data.n=1380 data.apart=2 epochs=20 seed=275
    data=rows data.draw=216 data.classes=3 data.rare=0.135 data.n=1380 data.apart=2 epochs=20 seed=276
    data=rows data.draw=217 data.rare=0.252 data.flip=0.25 data.n=810 epochs=10 seed=277
    data=rows data.draw=218 data.n=140 batch_size=16 epochs=15 seed=278
    data=rows data.draw=219 data.n=180 data.flip=0.13 batch_size=16 epochs=8 seed=279
    data=rows data.draw=220 data.n=110 batch_size=16 epochs=12 activation=tanh seed=280
    data=rows data.draw=221 data.n=220 data.classes=3 batch_size=16 epochs=10 seed=281
    data=rows data.draw=222 data.n=920 data.features=60 data.flip=0.05 regularizer=[early_stopping] epochs=40 seed=282
    data=rows data.draw=223 data.n=900 data.features=100 data.informative=20 regularizer=[dropout] epochs=8 seed=283
    data=rows data.draw=224 data.n=450 data.features=80 data.informative=10 data.flip=0.13 model=logistic regularizer=[early_stopping] optimizer.lr=0.01 epochs=30 seed=284
    data=rows data.draw=225 data.n=1380 data.features=50 epochs=6 seed=285
    data=rows data.draw=226 data.decades=3 epochs=15 seed=286
    data=rows data.draw=227 data.decades=2 data.flip=0.15 activation=tanh epochs=12 seed=287
    data=rows data.draw=228 data.decades=1 data.classes=3 data.n=810 epochs=15 seed=288
    data=rows data.draw=229 model=logistic data.flip=0.23 optimizer.lr=0.01 epochs=40 seed=289
    data=rows data.draw=230 model=mlp model.width=32 model.depth=1 data.flip=0.23 epochs=25 seed=290
    data=rows data.draw=231 optimizer=sgd optimizer.lr=0.1 data.flip=0.13 epochs=20 seed=291
    data=rows data.draw=232 normalization=batch_norm data.flip=0.15 epochs=8 seed=292
    data=rows data.draw=233 task=binary_classification data.flip=0.15 epochs=15 seed=293
    data=rows data.draw=234 regularizer=[weight_decay] optimizer=adamw data.flip=0.25 epochs=10 seed=294
    data=amounts data.draw=241 epochs=25 seed=295
    data=amounts data.draw=242 data.noise=0.54 epochs=12 seed=296
    data=amounts data.draw=243 data.noise=1 data.n=900 epochs=8 seed=297
    data=amounts data.draw=244 data.noise=2 data.n=1380 model=mlp model.depth=0 optimizer.lr=0.01 epochs=30 seed=298
    data=amounts data.draw=245 data.kind=friedman epochs=40 seed=299
    data=amounts data.draw=246 data.kind=friedman data.noise=0.54 data.n=900 epochs=15 seed=300
    data=amounts data.draw=247 data.kind=friedman data.noise=1 data.n=1380 epochs=8 seed=301
    data=amounts data.draw=248 data.kind=steps data.n=810 epochs=25 seed=302
    data=amounts data.draw=249 data.kind=pairs data.features=6 data.n=900 epochs=40 seed=303
    data=amounts data.draw=250 data.n=140 data.features=5 batch_size=16 epochs=20 seed=304
    data=amounts data.draw=251 data.n=180 data.noise=0.44 data.features=6 batch_size=16 epochs=10 seed=305
    data=amounts data.draw=252 data.unit=1e6 data.shift=4e6 data.noise=0.24 epochs=20 seed=306
    data=amounts data.draw=253 data.decades=3 data.noise=0.24 epochs=20 seed=307
    data=amounts data.draw=254 data.features=40 data.n=920 data.noise=0.34 regularizer=[early_stopping] epochs=40 seed=308
    data=amounts data.draw=255 data.features=30 data.n=540 data.noise=0.34 model=mlp model.depth=0 optimizer.lr=0.01 epochs=40 seed=309
    data=amounts data.draw=256 data.kind=friedman data.noise=0.34 activation=tanh optimizer.lr=0.003 epochs=25 seed=310
"""})  # fmt: skip
