"""The Lambda functions: one thin handler a module, over rooms that do the work.

``epochs`` knows how an epoch runs, ``channels`` where updates travel, ``attempts`` who may still
work, ``job_store`` what a job has in the durable store. Each imports only the ones after it.
"""
