"""The executions of jobs, as plain data: no service is asked."""
