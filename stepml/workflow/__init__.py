"""StepML's state machines for AWS's Data Science SDK (package ``stepfunctions``).

::

    workflow = deployed_workflow()
    execution = workflow.execute(name="my-run", inputs=job)
    execution.render_progress()

`train_workflow` builds the machine that trains out of the SDK's steps, for a machine of one's own.
"""

from stepml.workflow.machines import deployed_workflow, train_steps, train_workflow

__all__ = ["deployed_workflow", "train_steps", "train_workflow"]
