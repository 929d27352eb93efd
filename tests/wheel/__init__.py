"""The wheel as a person installs it: ``make wheels``."""
