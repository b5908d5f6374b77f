"""Print how a real account behaves: `make probe CONFIG=secrets/config.json`. It only reads and stores nothing."""

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import orjson
import requests
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from integration_tests.probe import events, general, lists, searches
from integration_tests.probe.account import Account, RefusedError, WrongKeyError
from integration_tests.probe.question import Finding, Question, unseen

_STYLES = {"yes": "green", "no": "bold red", "only": "yellow", "not": "dim"}


def ask_all(account: Account) -> Iterator[tuple[Question, Finding]]:
    """Ask every question, one after the other, and yield it with its finding."""
    parts = (general.first_questions, lists.questions, searches.questions, events.questions, general.last_questions)
    for question in chain.from_iterable(part(account) for part in parts):
        yield question, _ask(question, account)


def _ask(question: Question, account: Account) -> Finding:
    try:
        return question.ask(account)
    except RefusedError as refusal:
        return unseen(f"Close responded {refusal}")


def table_of(findings: list[tuple[Question, Finding]]) -> Table:
    table = Table("question", "seen", "connector copes", show_lines=True)
    for question, finding in findings:
        style = _STYLES[finding.verdict]
        table.add_row(question.text, escape(finding.saw), f"[{style}]{finding.copes}[/{style}]")
    return table


def probe(account: Account, console: Console) -> int:
    """Ask all questions and print the table; return 1 if the connector does not cope with a finding, otherwise 0."""
    findings = []
    with console.status("starting") as status:
        for question, finding in ask_all(account):
            findings.append((question, finding))
            status.update(f"{len(findings)} questions, {account.requests} requests")
    console.print(table_of(findings))
    failures = sum(finding.verdict == "no" for _, finding in findings)
    console.print(f"{account.requests} requests. Nothing was changed in Close or written to disk.")
    console.print(f"The connector does not cope with {failures} of {len(findings)} findings.")
    return 1 if failures else 0


def main() -> int:
    """Probe the account of the config in the arguments; return the exit code."""
    parser = argparse.ArgumentParser(prog="probe", description=__doc__)
    parser.add_argument("--config", required=True, help="the connector's config, with the API key of a real account")
    path = Path(parser.parse_args().config)
    console = Console(highlight=False)
    if not path.is_file():
        console.print(f"There is no file {path} with a config: make probe CONFIG=secrets/config.json", markup=False)
        return 2
    try:
        return probe(Account(orjson.loads(path.read_bytes())), console)
    except orjson.JSONDecodeError as error:
        console.print(f"{path} is not valid JSON: {error}", markup=False)
    except KeyError as error:
        console.print(f"{path} has no {error}", markup=False)
    except WrongKeyError as error:
        console.print(str(error), markup=False)
    except requests.RequestException as error:
        console.print(f"Close cannot be reached: {error}", markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
