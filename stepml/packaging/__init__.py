"""What is deployed: which files of ours and which libraries each package has.

`packages` describes the packages, `sources` finds our files, and ``python -m stepml.packaging``
builds everything for AWS.
"""
