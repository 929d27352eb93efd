"""Networks on torch; imported only by functions and programs that have it."""
