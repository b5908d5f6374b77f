"""The command ``source-close``, also as ``python -m source_close``."""

from collections.abc import Sequence

from source_close import process


def main(args: Sequence[str] | None = None) -> None:
    """Prepare the process, and run ``args``, by default those of the process."""
    process.prepare()
    from source_close import run  # noqa: PLC0415 - it imports the CDK, which takes a second

    run.main(args)


if __name__ == "__main__":
    main()
