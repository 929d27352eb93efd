"""Parts of pages, each usable by keyboard and readable by screen readers."""
