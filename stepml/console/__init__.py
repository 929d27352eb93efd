"""The console: a web page on this machine that shows jobs, their epochs, and why one failed.

It stands on the Python client. NiceGUI builds the pages, and is imported when the server starts.
"""
