"""What is known of the executions of jobs, as plain data: no service is asked."""
