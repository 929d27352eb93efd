"""Storages for tests alone: packages and the wheel leave this folder out."""
