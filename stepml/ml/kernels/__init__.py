"""Native kernels: optional, and equal to their NumPy counterparts to the bit.

`python -m stepml.packaging.kernels` compiles them. Where that is impossible, NumPy computes the
same, more slowly.
"""
