"""One thin handler a module: parse the task, call, serialise the result."""
