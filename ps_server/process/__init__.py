"""The server process: settings, health, metrics and a graceful stop."""
