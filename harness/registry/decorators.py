"""The decorators that mark a function as a component, one for each kind."""

from __future__ import annotations

from harness.registry.component import Decorator

activation = Decorator("activation")
augmentation = Decorator("augmentation")
callback = Decorator("callback")
corruption = Decorator("corruption")
data = Decorator("data")
diagnostic = Decorator("diagnostic")
executor = Decorator("executor")
initializer = Decorator("initializer")
logger = Decorator("logger")
loss = Decorator("loss")
metric = Decorator("metric")
model = Decorator("model")
normalization = Decorator("normalization")
optimizer = Decorator("optimizer")
regularizer = Decorator("regularizer")
scheduler = Decorator("scheduler")
task = Decorator("task")
transform = Decorator("transform")
