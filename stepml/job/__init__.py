"""The vocabulary that every part of StepML shares: job spec, tasks, results, keys and errors."""
