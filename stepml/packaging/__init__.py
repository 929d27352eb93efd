"""Builds the deployed packages, each with our files and its libraries.

`packages` describes the packages, `sources` finds our files, and ``python -m stepml.packaging``
builds everything for AWS.
"""
