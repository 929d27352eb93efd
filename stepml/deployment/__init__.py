"""Deploys StepML by CloudFormation, on AWS and into the local AWS, and removes it.

Nothing is remembered on this machine: outputs, parameters and tags of the stacks are all that a
later deployment, from any machine, needs.
"""
