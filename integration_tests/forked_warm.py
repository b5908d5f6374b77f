"""What is imported once before the processes of `forked` are forked."""

from source_close import SourceClose

SourceClose()
