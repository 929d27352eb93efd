"""The command line: presentation of what `stepml.client` and `stepml.local` do."""


def main() -> None:
    """Run the ``stepml`` command and exit with its code."""
    from stepml.cli.app import app  # not at import: `stepml.cli` itself stays light

    app()
