"""The shared vocabulary of StepML: job spec, tasks, results, keys and errors."""
