"""A local AWS that lasts: what it has is in a directory, and is there again after its end.

`store` (the directory), `shelves` (data of services, with a module for each: `kept_objects`,
`kept_items`, `kept_logs`, `kept_executions`), `snapshot` (everything else of moto), `requests`
(which of them change what), `keeping` (all of it together).
"""
