"""Record the tensor operations of a training step once, and replay them without Python, autograd and vmap."""
