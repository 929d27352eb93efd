"""Faults placed by position in whole executions: where they may strike, and what strikes."""
