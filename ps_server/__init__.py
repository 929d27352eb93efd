"""The parameter server: a process on a VM that adds up what functions push, and hands it out."""
