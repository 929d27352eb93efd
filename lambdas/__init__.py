"""The Lambda functions: one thin handler a module, over rooms that do the work.

The rooms are ``epochs`` (the ways of exchanging), ``channels`` (storages and parameter server),
``attempts`` (fences, waits, costs) and ``job_store`` (the objects in the durable store). Each
imports only the ones after it. ``entry``, ``environment``, ``logs`` and ``preloaded`` are no
handlers.
"""
