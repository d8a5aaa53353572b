"""Keras 3 on each of its backends: a runtime in NumPy arrays, made into an adapter by `camscope.models.runtime`."""
