"""Imports that the fork server does once, before it forks the processes of `forked`."""

from source_close import SourceClose

SourceClose()
