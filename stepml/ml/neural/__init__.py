"""Networks on torch, whose modules only functions and programs with torch import.

`layout` does without it.
"""
