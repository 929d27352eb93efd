"""Imports the modules that all functions may share, and reads boto3's description of S3.

Also what functions would load at their first use: codecs, parts of NumPy, the types of documents.

The local AWS imports this module in a template process, from which it forks the processes of
functions, of all that have the same code. So a module that is imported here must not open a
connection, start a thread, or read a variable that differs between them: the function's name and
memory, and those that begin with STEPML_.
"""

import encodings.idna  # noqa: F401 - of host names
from importlib import import_module
from pkgutil import iter_modules

import numpy.ma
import numpy.random  # noqa: F401

import lambdas
from stepml.job.channels import CHANNELS, configured_channels
from stepml.job.conversion import analyse_loaded
from storage.s3 import default_client

for module in iter_modules(lambdas.__path__, "lambdas."):
    import_module(module.name)
for name in configured_channels():
    opener = CHANNELS[name].opener
    if opener is not None:
        import_module(opener.partition(":")[0])
default_client()
analyse_loaded()
